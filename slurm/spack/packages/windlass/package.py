# spack repo add slurm/spack && spack install windlass. Not installed in the tests.
from spack.package import *


class Windlass(CMakePackage):
    """Serving of large language models as an MPI job."""

    version("main", branch="main")

    variant("hdf5", default=True, description="Checkpoints")
    variant("serve", default=True, description="The HTTP server")

    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi")
    depends_on("hwloc@2:")
    depends_on("boost@1.75:+json+program_options+iostreams")
    depends_on("pcre2")
    depends_on("utf8proc")
    depends_on("zlib-api")
    depends_on("zstd")
    depends_on("hdf5@1.10:~mpi", when="+hdf5")
    depends_on("openssl", when="+serve")

    def cmake_args(self):
        return [
            self.define("WINDLASS_TESTS", False),
            self.define("WINDLASS_BENCH", False),
            self.define_from_variant("WINDLASS_HDF5", "hdf5"),
            self.define_from_variant("WINDLASS_SERVE", "serve"),
        ]

    def install(self, spec, prefix):
        mkdirp(prefix.bin)
        install(join_path(self.build_directory, "jobs", "windlass"), prefix.bin)
        install_tree("slurm", prefix.slurm)
