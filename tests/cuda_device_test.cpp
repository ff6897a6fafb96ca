/// What only a device can show: that the backend is there, keeps the order of its stream, and that its operations can
/// be captured in a graph (they neither wait nor allocate).
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/cuda/backend.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

class CudaDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::backend() == nullptr) GTEST_SKIP() << "no GPU here: " << cuda::why_unavailable();
  }
};

TEST(CudaBackend, IsAmongTheBackendsOrSaysWhyNot) {
  auto const available = available_operations();
  if (cuda::backend() != nullptr) {
    EXPECT_EQ(available.back(), cuda::backend());
    EXPECT_EQ(&operations("cuda"), cuda::backend());
    return;
  }
  EXPECT_NE(missing_device(), "");
  EXPECT_EQ(operations("auto").memory->space, MemorySpace::host);
  try {
    operations("cuda");
    FAIL() << "a backend without a device";
  } catch (InputError const& error) {
    EXPECT_NE(std::string(error.what()).find(cuda::why_unavailable()), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("use one of: auto, "), std::string::npos) << error.what();
  }
}

TEST_F(CudaDevice, ItsMemoryIsZeroedAndTheHostsBetweenSteps) {
  Memory const& memory = *cuda::backend()->memory;
  for (MemoryUse use : {MemoryUse::weights, MemoryUse::pages, MemoryUse::buffers, MemoryUse::results}) {
    auto const bytes = memory.allocate(1 << 20, use);
    EXPECT_EQ(std::count(bytes.get(), bytes.get() + (1 << 20), std::byte{0}), 1 << 20);
    bytes.get()[7] = std::byte{5};
    memory.copy({bytes.get() + 4096, 4096}, bytes.get());
    EXPECT_EQ(bytes.get()[4096 + 7], std::byte{5});
    memory.zero({bytes.get(), 8192});
    EXPECT_EQ(bytes.get()[4096 + 7], std::byte{0});
  }
}

TEST_F(CudaDevice, RefusesMoreThanItHolds) {
  Memory const& memory = *cuda::backend()->memory;
  EXPECT_THROW(memory.allocate(memory.free_bytes() + (1 << 20), MemoryUse::pages), InputError);
}

TEST_F(CudaDevice, QueuedOperationsRunInTheirOrder) {
  Operations const& operations = *cuda::backend();
  auto const memory = operations.memory->allocate(std::size_t(1) << 22, MemoryUse::buffers);
  auto* const rows = reinterpret_cast<float*>(memory.get());  // [4, 1 << 18]
  constexpr int width = 1 << 18;
  rows[0] = 1;
  std::vector<int> list{0};
  Queue const queue{.team = nullptr, .completion = Completion::later};
  for (int i = 1; i < 4; ++i)
    operations.gather_rows({.y = rows + i * width,
                            .x = rows + (i - 1) * width,
                            .y_stride = width,
                            .x_stride = width,
                            .rows = list.data(),
                            .count = 1,
                            .width = width},
                           queue);
  list[0] = 1;  // lists are read at the call
  operations.memory->wait(queue);

  EXPECT_EQ(rows[3 * width], 1);
}

}  // namespace
}  // namespace windlass
