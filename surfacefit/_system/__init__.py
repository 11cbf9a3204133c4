"""What a fit finds around it: the process, the machine's limits, and what JAX does in it.

compile_cache   Compiled programs on disk, so that the next process need not compile them
compile_clock   How many seconds JAX spends on tracing and compiling
container       Memory and cores that a container, a job queue or a shell allows
forks           A clear error instead of a deadlock in a process that was forked after JAX had begun
interrupts      Ctrl-C where it would crash an import or be forgotten
mesh            The devices of a fit as a mesh of one axis, and functions that each of them computes for its part
processes       What the processes of one fit tell each other: arrays, agreement, and whether another one still answers
program_limits  How many compiled programs a process may hold, and when it is time to drop them
"""
