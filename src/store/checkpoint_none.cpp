// What a build without HDF5 has instead of checkpoints.
#include "src/core/error.hpp"
#include "src/store/checkpoint_file.hpp"

namespace windlass {
namespace {

[[noreturn]] void refuse() {
  throw InputError("this program was built without checkpoints; build it with -DWINDLASS_HDF5=ON (needs HDF5)");
}

}  // namespace

bool checkpoints_supported() { return false; }
std::optional<WrittenPart> write_part(PartToWrite const&) { refuse(); }
SavedPart read_part(std::string const&) { refuse(); }
std::uint64_t write_master(std::string const&, std::string const&, CheckpointMaster const&) { refuse(); }
CheckpointMaster read_master(std::string const&) { refuse(); }

}  // namespace windlass
