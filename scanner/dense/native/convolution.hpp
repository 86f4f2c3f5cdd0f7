// The convolution of one row: all its arithmetic, in registers.
#pragma once

#include <algorithm>

#include "unit.hpp"
#include "vector.hpp"

// Maps that share the loads of their inputs, and vectors of pixels that share the loads of the weights. Their product
// is the number of sums in flight: as many as fit into the registers, and enough to hide the latency of an addition.
constexpr int MAPS = REGISTERS / 4, VECTORS = 3;

// One row of a convolution. Kernel row i reads from rows[i], kernel column j `columns[j]` further; channels lie `pitch`
// apart.
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

// Maps from `map` on, for vectors of pixels from x on. The order of the additions is the same for every pixel, wherever
// it lies in a row, so that results do not depend on how an image is cut into tiles.
template <int maps, int vectors>
static inline void convolve_block(const Convolution& c, long x, float* out, int map) {
    Vector sums[maps][vectors];
#pragma GCC unroll 8
    for (int m = 0; m < maps; ++m)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sums[m][v] = Vector{} + c.bias[map + m];
    const float* weights = c.weights + long(c.kernel_rows) * c.kernel_columns * c.channels * map;
    for (int i = 0; i < c.kernel_rows; ++i) {
        for (int j = 0; j < c.kernel_columns; ++j) {
            const float* input = c.rows[i] + c.columns[j] + x;
            // The first maps fetch the next pixels' lines, one at a time: too many rows are read in turn for the
            // processor to foresee them.
            const int line = map / MAPS * c.kernel_columns + j;
            const long reach = c.columns[c.kernel_columns - 1] - c.columns[j];
            const long ahead = line < VECTORS ? reach + (VECTORS + line) * LANES : 0;
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
static inline void convolve_rest(const Convolution& c, long x, float* out, int map) {
    if constexpr (most > 0) {
        if (c.maps - map == most)
            convolve_block<most, vectors>(c, x, out, map);
        else
            convolve_rest<most - 1, vectors>(c, x, out, map);
    }
}

template <int vectors>
static inline void convolve_pixels(const Convolution& c, long x, float* out) {
    int map = 0;
    for (; map + MAPS <= c.maps; map += MAPS) convolve_block<MAPS, vectors>(c, x, out + map * c.out_pitch, map);
    convolve_rest<MAPS - 1, vectors>(c, x, out + map * c.out_pitch, map);
}

// Pixels first..last of the row, rounded up to whole vectors; the first goes to the start of `out`. Whatever else is to
// be done with finished sums is done by `after(out, vectors)`, while they are in the cache.
template <class After>
static inline void convolve_row(const Convolution& c, long first, long last, const After& after) {
    for (long x = first; x < last;) {
        float* out = c.out + (x - first);
        const int vectors = int(std::min((last - x + LANES - 1) / LANES, long(VECTORS)));
        switch (vectors) {
            case 1: convolve_pixels<1>(c, x, out); break;
            case 2: convolve_pixels<2>(c, x, out); break;
            default: convolve_pixels<VECTORS>(c, x, out);
        }
        after(out, vectors);
        x += vectors * LANES;
    }
}
