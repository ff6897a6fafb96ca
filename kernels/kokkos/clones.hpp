/// Versions of a function for unlike processors.
#pragma once

/// Functions with this attribute are also compiled for AVX with FMA, and that version is chosen when the program is
/// loaded where it can run. An fma is rounded once wherever it runs, so both give the same bits; without the
/// instruction it is a slow library call. What such a function calls must be inlined to profit.
#if defined(WINDLASS_KOKKOS_CLONES)
#define WINDLASS_CLONED [[gnu::target_clones("fma", "default")]]
#define WINDLASS_INLINED [[gnu::always_inline]] inline
#else
#define WINDLASS_CLONED
#define WINDLASS_INLINED inline
#endif
