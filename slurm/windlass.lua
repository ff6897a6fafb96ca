-- A module file for Lmod: copy it to MODULEPATH/windlass/VERSION.lua and change the prefix.
help([[Windlass serves large language models as an MPI job. windlass --help]])
whatis("Name: windlass")
whatis("Description: serving of large language models as an MPI job")

local prefix = "/opt/windlass"
depends_on("openmpi")
prepend_path("PATH", pathJoin(prefix, "bin"))
setenv("WINDLASS_SITE", pathJoin(prefix, "slurm/site.sh"))
