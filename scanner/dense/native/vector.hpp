// One vector of neighbouring pixels, as wide as the processor has registers for, and the functions on it.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

// Numbers in a vector register, and how many registers there are: what tiles of sums are cut for.
#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int LANES = 8, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int LANES = 4, REGISTERS = 32;
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef int Mask __attribute__((vector_size(LANES * sizeof(float))));

static inline Vector load(const float* from) {
    Vector value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// Keeps a loaded vector in its register. Else GCC may load it anew for each multiplication that uses it, and loads are
// what a tile of sums is there to save.
static inline void keep(Vector& value) {
#if defined(__AVX512F__)
    asm("" : "+v"(value));
#elif defined(__x86_64__)
    asm("" : "+x"(value));
#elif defined(__aarch64__)
    asm("" : "+w"(value));
#endif
}

static inline void store(float* to, Vector value) { std::memcpy(to, &value, sizeof value); }

// A number of 16 bits: the upper half of a float32.
typedef uint16_t Bfloat;

#if defined(__AVX512BF16__)
static inline void store(Bfloat* to, Vector value) {
    const __m256bh rounded = _mm512_cvtneps_pbh((__m512)value);
    std::memcpy(to, &rounded, sizeof rounded);
}
#endif

// Every stride-th pixel from here on.
template <int stride>
static inline Vector load_strided(const float* from, int any_stride) {
    if constexpr (stride == 1) return load(from);
    Vector value;
#if !defined(__clang__)  // which has no such function
    if constexpr (stride == 2) {
        Mask even;
        for (int lane = 0; lane < LANES; ++lane) even[lane] = 2 * lane;
        return __builtin_shuffle(load(from), load(from + LANES), even);
    }
#endif
    for (int lane = 0; lane < LANES; ++lane) value[lane] = from[lane * any_stride];
    return value;
}

// NaN stays NaN, whichever side it is on: a broken pixel must not look like background.
static inline Vector larger(Vector a, Vector b) {
#if defined(__AVX512F__)
    // The processor's maximum is b wherever one side is NaN; the mask brings back an a that is.
    const __mmask16 a_is_nan = _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_UNORD_Q);
    return (Vector)_mm512_mask_mov_ps(_mm512_max_ps((__m512)a, (__m512)b), a_is_nan, (__m512)a);
#else
    return (Mask)(a != a) | (Mask)(a > b) ? a : b;
#endif
}

// Within -limit..limit; NaN stays NaN.
static inline Vector clamp(Vector x, float limit) {
    const Vector high = Vector{} + limit;
#if defined(__AVX512F__)
    return (Vector)_mm512_max_ps((__m512)-high, _mm512_min_ps((__m512)high, (__m512)x));
#else
    return x > high ? high : (x < -high ? -high : x);
#endif
}

static inline Vector reciprocal(Vector x) {
#if defined(__AVX512F__)
    // An estimate good to 2^-14 and one step of Newton's: a fifth of the cost of a division.
    Vector guess = (Vector)_mm512_rcp14_ps((__m512)x);
    return guess * (2.0f - x * guess);
#else
    return 1.0f / x;
#endif
}

// tanh as an odd rational function of degree 13 over 6 (the coefficients that Eigen and XNNPACK use): |error| < 4e-7.
static inline Vector hyperbolic_tangent(Vector x) {
    x = clamp(x, 7.90531110763549805f);  // tanh is 1 in float32 from here on
    Vector square = x * x;
    Vector upper = square * -2.76076847742355e-16f + 2.00018790482477e-13f;
    upper = upper * square + -8.60467152213735e-11f;
    upper = upper * square + 5.12229709037114e-08f;
    upper = upper * square + 1.48572235717979e-05f;
    upper = upper * square + 6.37261928875436e-04f;
    upper = upper * square + 4.89352455891786e-03f;
    Vector lower = square * 1.19825839466702e-06f + 1.18534705686654e-04f;
    lower = lower * square + 2.26843463243900e-03f;
    lower = lower * square + 4.89352518554385e-03f;
    return x * upper * reciprocal(lower);
}

// The numbers are those of `activations` in chain.py.
enum Activation { NONE = 0, TANH = 1, RELU = 2, SIGMOID = 3 };

template <int activation>
static inline Vector activate(Vector x) {
    if (activation == TANH) return hyperbolic_tangent(x);
    if (activation == RELU) return larger(x, Vector{});
    if (activation == SIGMOID) return hyperbolic_tangent(x * 0.5f) * 0.5f + 0.5f;
    return x;
}
