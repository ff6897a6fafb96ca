// The device, its stream, its memory.
#include <cstring>
#include <mutex>

#include "kernels/cuda/device.hpp"
#include "src/core/bytes_text.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass::cuda {
namespace {

constexpr std::size_t ring_bytes = std::size_t(32) << 20;  ///< lists of many steps
constexpr std::size_t default_shared_bytes = std::size_t(48) << 10;
constexpr int device_number = 0;

__global__ void probe_kernel() {}

int attribute(cudaDeviceAttr which) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device_number), "read the device's attributes");
  return value;
}

std::string problem_of_device() {
  int count = 0;
  cudaError_t const status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return text("no CUDA device: ", cudaGetErrorString(status));
  if (count == 0) return "no CUDA device: the driver shows none (CUDA_VISIBLE_DEVICES hides them?)";
  int const major = attribute(cudaDevAttrComputeCapabilityMajor), minor = attribute(cudaDevAttrComputeCapabilityMinor);
  if (major < 8) return text("the CUDA device is of compute capability ", major, ".", minor, "; 8.0 is the oldest");
  if (attribute(cudaDevAttrConcurrentManagedAccess) == 0)
    return "the CUDA device and the host cannot share managed memory (Linux with a driver for it is needed)";
  cudaFuncAttributes attributes;
  if (cudaError_t const found = cudaFuncGetAttributes(&attributes, probe_kernel); found != cudaSuccess)
    return text("this build has no kernels for the CUDA device, of compute capability ", major, ".", minor, ": ",
                cudaGetErrorString(found), "; configure with -DCMAKE_CUDA_ARCHITECTURES=", major, minor);
  return {};
}

std::string find_problem() {
  try {
    return problem_of_device();
  } catch (CudaError const& error) {
    return error.what();
  }
}

/// Made on first use, only where there is a device; kept to the end of the program (CUDA itself is one per process).
class Device {
 public:
  Device() : shared_bytes_(std::size_t(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin))) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "create the stream");
    std::size_t free = 0;
    check(cudaMemGetInfo(&free, &room_bytes_), "ask for the device's memory");
    room_bytes_ = free - free / 32;  // for what the driver and the kernels need themselves
    void *host = nullptr, *device = nullptr;
    check(cudaHostAlloc(&host, ring_bytes, cudaHostAllocDefault), "allocate the ring for lists");
    check(cudaMalloc(&device, ring_bytes), "allocate the ring for lists");
    host_ring_ = static_cast<std::byte*>(host);
    device_ring_ = static_cast<std::byte*>(device);
  }

  cudaStream_t stream() const { return stream_; }
  std::size_t shared_bytes() const { return shared_bytes_; }
  void wait() const { check(cudaStreamSynchronize(stream_), "wait for the device"); }

  /// Managed memory may be larger than the device, and then is slow: so room is counted here.
  void take_room(std::size_t bytes) {
    std::lock_guard const lock(mutex_);
    if (bytes > room_bytes_)
      throw InputError(text("the CUDA device has no room for ", bytes_text(bytes), " more: ", bytes_text(room_bytes_),
                            " are left; lower --kv-cache-memory, --max-num-batched-tokens or --max-model-len, or take "
                            "a smaller or a quantised model"));
    room_bytes_ -= bytes;
  }
  void give_room(std::size_t bytes) {
    std::lock_guard const lock(mutex_);
    room_bytes_ += bytes;
  }
  std::uint64_t room_bytes() {
    std::lock_guard const lock(mutex_);
    return room_bytes_;
  }

  std::byte const* upload(std::span<std::byte const> bytes) {
    std::size_t const size = parts_of(std::int64_t(bytes.size()), 256) * 256;
    ensure(size <= ring_bytes, "a step's lists are longer than the ring for them");
    if (used_ + size > ring_bytes) {
      wait();
      used_ = 0;
    }
    std::byte* const to = device_ring_ + used_;
    std::memcpy(host_ring_ + used_, bytes.data(), bytes.size());
    check(cudaMemcpyAsync(to, host_ring_ + used_, bytes.size(), cudaMemcpyHostToDevice, stream_), "copy a list");
    used_ += size;
    return to;
  }

 private:
  cudaStream_t stream_ = nullptr;
  std::size_t shared_bytes_ = 0, room_bytes_ = 0, used_ = 0;
  std::byte *host_ring_ = nullptr, *device_ring_ = nullptr;
  std::mutex mutex_;
};

Device& device() {
  static Device the_device;
  return the_device;
}

std::shared_ptr<std::byte> allocate_results(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaHostAlloc(&memory, bytes, cudaHostAllocPortable | cudaHostAllocMapped),
        text("pin ", bytes, " bytes of host memory (a limit on locked memory, ulimit -l, may be too low)"));
  std::memset(memory, 0, bytes);
  return {static_cast<std::byte*>(memory), [](std::byte* at) { cudaFreeHost(at); }};
}

std::shared_ptr<std::byte> allocate(std::size_t bytes, MemoryUse use) {
  if (use == MemoryUse::results) return allocate_results(bytes);
  device().take_room(bytes);
  void* memory = nullptr;
  cudaError_t const status = cudaMallocManaged(&memory, bytes);
  if (status != cudaSuccess) device().give_room(bytes);
  check(status, text("allocate ", bytes, " bytes on the device"));
  std::shared_ptr<std::byte> owner(static_cast<std::byte*>(memory), [bytes](std::byte* at) {
    cudaFree(at);
    device().give_room(bytes);
  });
  cudaMemLocation const here{.type = cudaMemLocationTypeDevice, .id = device_number};
  check(cudaMemAdvise(memory, bytes, cudaMemAdviseSetPreferredLocation, here), "place memory on the device");
  if (use == MemoryUse::weights) {  // the host writes them first
    std::memset(memory, 0, bytes);
    return owner;
  }
  check(cudaMemsetAsync(memory, 0, bytes, device().stream()), "zero memory");
  device().wait();
  return owner;
}

void zero(std::span<std::byte> bytes) {
  check(cudaMemsetAsync(bytes.data(), 0, bytes.size(), device().stream()), "zero memory");
  device().wait();
}

void copy(std::span<std::byte> to, std::byte const* from) {
  check(cudaMemcpyAsync(to.data(), from, to.size(), cudaMemcpyDefault, device().stream()), "copy memory");
  device().wait();
}

void settle(std::span<std::byte const> bytes) {
  cudaMemLocation const here{.type = cudaMemLocationTypeDevice, .id = device_number};
  if (bytes.empty()) return;
  check(cudaMemPrefetchAsync(bytes.data(), bytes.size(), here, 0, device().stream()), "bring memory to the device");
}

std::string described(KernelCall const& call) {
  LaunchShape const& shape = call.shape;
  return text("run ", call.name, " on ", shape.blocks, " x ", shape.parts, " thread blocks of ", shape.threads,
              " threads and ", shape.shared_bytes, " bytes of shared memory");
}

}  // namespace

void check(cudaError_t status, std::string const& what) {
  if (status == cudaSuccess) return;
  if (status == cudaErrorMemoryAllocation)
    throw InputError(text("CUDA has no memory to ", what,
                          "; lower --kv-cache-memory or --max-num-batched-tokens, or free the device"));
  throw CudaError(text("CUDA failed to ", what, ": ", cudaGetErrorName(status), ", ", cudaGetErrorString(status)));
}

std::string const& why_unavailable() {
  static std::string const problem = find_problem();
  return problem;
}

char const* arithmetic() {
  static std::string const id =
      text("cuda-sm", attribute(cudaDevAttrComputeCapabilityMajor), attribute(cudaDevAttrComputeCapabilityMinor));
  return id.c_str();
}

Memory const device_memory{.space = MemorySpace::device,
                           .allocate = allocate,
                           .zero = zero,
                           .copy = copy,
                           .settle = settle,
                           .wait = [](Queue const&) { device().wait(); },
                           .free_bytes = [] { return device().room_bytes(); }};

void start(KernelCall const& call, Queue const& queue) {
  LaunchShape const& shape = call.shape;
  if (!shape.is_possible(device().shared_bytes())) ensure(false, described(call));
  cudaError_t status = cudaSuccess;
  if (shape.shared_bytes > default_shared_bytes)
    status = cudaFuncSetAttribute(call.function, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shape.shared_bytes));
  void* arguments[] = {call.argument};
  if (status == cudaSuccess)
    status = cudaLaunchKernel(call.function, dim3(unsigned(shape.blocks), unsigned(shape.parts)),
                              dim3(unsigned(shape.threads)), arguments, shape.shared_bytes, device().stream());
  if (status == cudaSuccess && queue.completion == Completion::on_return)
    status = cudaStreamSynchronize(device().stream());
  if (status != cudaSuccess) check(status, described(call));
}

std::byte const* upload_bytes(std::span<std::byte const> bytes) { return device().upload(bytes); }

}  // namespace windlass::cuda
