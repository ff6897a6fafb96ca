# What a site must say, in one place: sourced by every script in this folder, at its beginning. Every line is optional.
# windlass submit --site FILE takes another file; WINDLASS_SITE names it to scripts that are submitted by hand.

# Modules, Spack or paths that bring windlass and its MPI.
# module load windlass
# spack load windlass
: "${WINDLASS:=windlass}"

# How several ranks are started: "srun" (srun --mpi=pmix: Open MPI) or "mpirun" (windlass launch, which goes on when a
# rank dies).
: "${WINDLASS_LAUNCHER:=srun}"
: "${WINDLASS_SRUN_FLAGS:=--mpi=pmix --kill-on-bad-exit=0 --cpu-bind=none}"

# Open MPI's interfaces, where a node has several: the one of the fast network.
# export OMPI_MCA_btl_tcp_if_include=ib0 OMPI_MCA_oob_tcp_if_include=ib0

# windlass_run ARGUMENT...: runs windlass on all tasks of the job and passes signals on to it, so that a warning of the
# time limit (--signal=B:USR1@SECONDS) and scancel drain it. Returns its exit code: 75 means that work remains.
windlass_run() {
  local tasks=${SLURM_NTASKS:-1} child code
  case $tasks:$WINDLASS_LAUNCHER in
    1:*) "$WINDLASS" "$@" & ;;
    *:srun) srun $WINDLASS_SRUN_FLAGS "$WINDLASS" "$@" & ;;
    *:mpirun) "$WINDLASS" launch -n "$tasks" "$@" & ;;
    *) echo "site.sh: WINDLASS_LAUNCHER=$WINDLASS_LAUNCHER is neither srun nor mpirun" >&2; return 2 ;;
  esac
  child=$!
  trap 'kill -USR1 $child' USR1
  trap 'kill -TERM $child' TERM INT
  while :; do  # a signal ends wait, not the child
    wait $child
    code=$?
    kill -0 $child 2>/dev/null || break
  done
  trap - USR1 TERM INT
  return $code
}
