// The convolution of one row: all its arithmetic, in registers.
#pragma once

#include <algorithm>

#include "vector.hpp"

// Maps that share the loads of their inputs, and vectors of pixels that share the loads of the weights. Their product
// is the number of sums in flight: as many as fit into the registers, and enough to hide the latency of an addition.
#if defined(__AVX512F__)
constexpr int MAPS = 8, VECTORS = 3;
#else
constexpr int MAPS = 4, VECTORS = 3;
#endif
constexpr int MAX_KERNEL = 64;
// What the inputs of a block of pixels may take of the first-level cache, in numbers: 24 of 32 KB or more.
constexpr long CACHED = 6 << 10;

// One row of a convolution. Kernel row i reads from rows[i], kernel column j `columns[j]` further, channels `pitch` apart.
// Weights are blocks of MAPS maps: (kernel row, kernel column, channel, map of the block).
struct Convolution {
    const float* rows[MAX_KERNEL];
    int columns[MAX_KERNEL];
    int kernel_rows, kernel_columns, channels, maps;
    long pitch;
    const float *weights, *bias;
    float* out;  // (map, pixel), maps `out_pitch` apart
    long out_pitch;
};

// Kernel rows top..bottom of maps from `map` on, for vectors of pixels from x on; what lies above `top` is in `out`
// already. The order of the additions is the same for every pixel, wherever it lies in a row, so that results do not
// depend on how an image is cut into tiles.
template <int maps, int vectors>
static inline void convolve_block(const Convolution& c, long x, float* out, int map, int top, int bottom) {
    Vector sums[maps][vectors];
#pragma GCC unroll 8
    for (int m = 0; m < maps; ++m)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v)
            sums[m][v] = top ? load(out + m * c.out_pitch + v * LANES) : Vector{} + c.bias[map + m];
    const long row_weights = long(c.kernel_columns) * c.channels;
    const float* weights = c.weights + row_weights * (long(c.kernel_rows) * map + long(top) * maps);
    for (int i = top; i < bottom; ++i) {
        for (int j = 0; j < c.kernel_columns; ++j) {
            const float* input = c.rows[i] + c.columns[j] + x;
            // The next pixels' lines, one at a time: too many rows are read in turn for the processor to foresee them.
            const long ahead = c.columns[c.kernel_columns - 1] - c.columns[j] +
                               (VECTORS + map / MAPS * c.kernel_columns + j) * LANES;
            for (int channel = 0; channel < c.channels; ++channel, input += c.pitch, weights += maps) {
                __builtin_prefetch(input + ahead);
                Vector pixels[vectors];
#pragma GCC unroll 8
                for (int v = 0; v < vectors; ++v) pixels[v] = load(input + v * LANES);
#pragma GCC unroll 8
                for (int m = 0; m < maps; ++m)
#pragma GCC unroll 8
                    for (int v = 0; v < vectors; ++v) sums[m][v] += weights[m] * pixels[v];
            }
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < maps; ++m)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) store(out + m * c.out_pitch + v * LANES, sums[m][v]);
}

// The last maps, fewer than MAPS, form a smaller block.
template <int most, int vectors>
static inline void convolve_rest(const Convolution& c, long x, float* out, int map, int top, int bottom) {
    if constexpr (most > 0) {
        if (c.maps - map == most)
            convolve_block<most, vectors>(c, x, out, map, top, bottom);
        else
            convolve_rest<most - 1, vectors>(c, x, out, map, top, bottom);
    }
}

// All maps of some pixels, in as many passes over the kernel's rows as keep their inputs in the cache.
template <int vectors>
static inline void convolve_pixels(const Convolution& c, long x, float* out) {
    const long row_numbers = c.channels * (c.columns[c.kernel_columns - 1] + long(vectors + 1) * LANES);
    const int rows = int(std::clamp(CACHED / row_numbers, 1L, long(c.kernel_rows)));
    for (int top = 0; top < c.kernel_rows; top += rows) {
        const int bottom = std::min(top + rows, c.kernel_rows);
        int map = 0;
        for (; map + MAPS <= c.maps; map += MAPS)
            convolve_block<MAPS, vectors>(c, x, out + map * c.out_pitch, map, top, bottom);
        convolve_rest<MAPS - 1, vectors>(c, x, out + map * c.out_pitch, map, top, bottom);
    }
}

// Pixels first..last of the row, rounded up to whole vectors; the first goes to the start of `out`.
static inline void convolve_row(const Convolution& c, long first, long last) {
    long x = first;
    for (; last - x > 2 * LANES; x += VECTORS * LANES) convolve_pixels<VECTORS>(c, x, c.out + (x - first));
    if (last - x > LANES)
        convolve_pixels<2>(c, x, c.out + (x - first));
    else if (last > x)
        convolve_pixels<1>(c, x, c.out + (x - first));
}
