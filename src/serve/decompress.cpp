#include "src/serve/decompress.hpp"

#include "src/core/error.hpp"
#include "src/core/text.hpp"

#ifdef WINDLASS_COMPRESSION
#include <zlib.h>
#include <zstd.h>

#include <vector>
#endif

namespace windlass {

Compression compression_of(std::string_view first_bytes) {
  if (first_bytes.starts_with("\x1f\x8b")) return Compression::gzip;
  if (first_bytes.starts_with("\x28\xb5\x2f\xfd")) return Compression::zstd;
  return Compression::none;
}

#ifdef WINDLASS_COMPRESSION
namespace {

constexpr std::size_t stored_part_bytes = std::size_t{1} << 17;

/// What both formats share: a buffer of stored bytes that is filled when it runs empty.
class Decompressor : public InputStream {
 public:
  Decompressor(std::unique_ptr<InputStream> stored, std::string name)
      : stored_(std::move(stored)), name_(std::move(name)), buffer_(stored_part_bytes) {}
  void stop() override { stored_->stop(); }
  std::uint64_t stored_bytes_read() const override { return stored_->stored_bytes_read(); }
  std::optional<std::uint64_t> stored_bytes() const override { return stored_->stored_bytes(); }

 protected:
  /// Stored bytes that are not decompressed yet; empty only at the end of the file.
  std::span<char> pending() {
    if (pending_.empty()) pending_ = std::span(buffer_).first(stored_->read(buffer_));
    return pending_;
  }
  void use(std::size_t bytes) { pending_ = pending_.subspan(bytes); }
  [[noreturn]] void refuse(std::string_view problem) const {
    throw InputError(text(name_, ": its compressed data is ", problem, "; make the file again"));
  }

 private:
  std::unique_ptr<InputStream> stored_;
  std::string name_;
  std::vector<char> buffer_;
  std::span<char> pending_;
};

class GzipStream final : public Decompressor {
 public:
  GzipStream(std::unique_ptr<InputStream> stored, std::string name) : Decompressor(std::move(stored), std::move(name)) {
    ensure(::inflateInit2(&state_, 15 + 16) == Z_OK, "inflateInit2 failed");  // the largest window, gzip only
  }
  ~GzipStream() override { ::inflateEnd(&state_); }

  std::size_t read(std::span<char> space) override {
    state_.next_out = reinterpret_cast<Bytef*>(space.data());
    state_.avail_out = uInt(space.size());
    while (state_.avail_out == space.size()) {
      auto const stored = pending();
      if (stored.empty()) {
        if (inside_member_) refuse("cut off");
        return 0;
      }
      if (!inside_member_) ::inflateReset(&state_);
      inside_member_ = true;
      state_.next_in = reinterpret_cast<Bytef*>(stored.data());
      state_.avail_in = uInt(stored.size());
      int const result = ::inflate(&state_, Z_NO_FLUSH);
      use(stored.size() - state_.avail_in);
      if (result == Z_STREAM_END) inside_member_ = false;
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) refuse("damaged");
    }
    return space.size() - state_.avail_out;
  }

 private:
  z_stream state_{};
  bool inside_member_ = false;
};

class ZstdStream final : public Decompressor {
 public:
  using Decompressor::Decompressor;

  std::size_t read(std::span<char> space) override {
    ZSTD_outBuffer out{space.data(), space.size(), 0};
    while (out.pos == 0) {
      auto const stored = pending();
      if (stored.empty() && !inside_frame_) return 0;
      ZSTD_inBuffer in{stored.data(), stored.size(), 0};
      std::size_t const result = ::ZSTD_decompressStream(state_.get(), &out, &in);
      if (::ZSTD_isError(result)) refuse(text("damaged (", ::ZSTD_getErrorName(result), ")"));
      inside_frame_ = result != 0;
      use(in.pos);
      if (stored.empty() && out.pos == 0) refuse("cut off");
    }
    return out.pos;
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* state) const { ::ZSTD_freeDCtx(state); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> state_{::ZSTD_createDCtx()};
  bool inside_frame_ = false;
};

}  // namespace
#endif

std::unique_ptr<InputStream> decompressed(std::unique_ptr<InputStream> stored, Compression compression,
                                          std::string const& name) {
#ifdef WINDLASS_COMPRESSION
  if (compression == Compression::gzip) return std::make_unique<GzipStream>(std::move(stored), name);
  if (compression == Compression::zstd) return std::make_unique<ZstdStream>(std::move(stored), name);
  return stored;
#else
  if (compression == Compression::none) return stored;
  throw InputError(text(name, ": is compressed, and this build cannot read that; decompress it (",
                        "zcat or zstdcat FILE | "
                        "windlass batch --input - …), or build with -DWINDLASS_COMPRESSION=ON"));
#endif
}

}  // namespace windlass
