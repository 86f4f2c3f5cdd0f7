// The arithmetic of interleaved rows in float32: a tile of sums in the vector registers.
#pragma once

#include <algorithm>

#include "unit.hpp"
#include "vector.hpp"

namespace interleaved {

// A tile of sums is some pixels times some vectors of maps ("blocks"): as many as fit into the registers beside one
// vector of weights a block. By number of blocks: how many pixels.
template <int registers>
struct TileShapes;
template <>
struct TileShapes<32> {
    static constexpr int MOST_BLOCKS = 4, PIXELS[MOST_BLOCKS + 1] = {0, 24, 12, 8, 6};
};
template <>
struct TileShapes<16> {
    static constexpr int MOST_BLOCKS = 3, PIXELS[MOST_BLOCKS + 1] = {0, 12, 6, 4};
};
using Tiles = TileShapes<REGISTERS>;
constexpr int MAX_BLOCKS = Tiles::MOST_BLOCKS;
constexpr int MAX_TILE = 24;  // vectors
// Weights are fetched this many channels ahead: all of them are too many for the first-level cache.
constexpr int AHEAD = 8, LINE = 16;  // numbers in a line of the cache

// What one row of a convolution reads.
struct Source {
    const float* const* taps;  // where each tap lies for the row's pixel 0
    int taps_count, channels;
    long pitch;  // from the inputs of one output pixel to those of the next
};

// The order of the additions is the same for every pixel, wherever it lies in a row, so that results do not depend on
// how an image is cut into tiles. Weights are (tap, channel, block, lane), sums (pixel, block, lane).
template <int pixels, int blocks>
static void convolve_tile(const Source& source, long x, const float* weights, const float* bias, float* out) {
    Vector sums[pixels][blocks];
#pragma GCC unroll 32
    for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 8
        for (int b = 0; b < blocks; ++b) sums[p][b] = load(bias + b * LANES);
    for (int tap = 0; tap < source.taps_count; ++tap) {
        const float* input = source.taps[tap] + x * source.pitch;
        for (int channel = 0; channel < source.channels;) {
            // What the next tile reads: a pixel's channels are too short a stretch for the processor to foresee it.
#pragma GCC unroll 32
            for (int p = 0; p < pixels; ++p) __builtin_prefetch(input + (pixels + p) * source.pitch);
            const int end = std::min(channel + LINE, source.channels);
            for (; channel < end; ++channel, ++input, weights += blocks * LANES) {
                Vector row[blocks];
#pragma GCC unroll 8
                for (int b = 0; b < blocks; ++b) {
                    row[b] = load(weights + b * LANES);
                    keep(row[b]);
                    __builtin_prefetch(weights + (AHEAD * blocks + b) * LANES);
                }
#pragma GCC unroll 32
                for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 8
                    for (int b = 0; b < blocks; ++b) sums[p][b] += input[p * source.pitch] * row[b];
            }
        }
    }
#pragma GCC unroll 32
    for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 8
        for (int b = 0; b < blocks; ++b) store(out + (p * blocks + b) * LANES, sums[p][b]);
}

// What interleaved.hpp asks of an arithmetic: matrix.hpp is the other one.
class Floats {
  public:
    using Number = float;
    static constexpr int MOST_BLOCKS = MAX_BLOCKS;

    Floats(const Unit& unit, long pitch)
        : unit_(unit), is_merged_(unit.columns.dilation == 1 && pitch == unit.channels) {}

    // Nothing has to be set up before rows are computed.
    struct Session {};
    Session session() const { return {}; }

    // Where neighbouring columns of the window lie side by side, a row of the window is one tap of many channels.
    int taps_across() const { return is_merged_ ? 1 : unit_.columns.kernel; }

    // Pixels first..first + count of a row, some blocks of maps: write(pixel, pixels, sums) gets every finished tile.
    template <class Write>
    void row(const float* const* taps, long pitch, long first, long count, long block, int blocks,
             const Write& write) const {
        const int window = unit_.rows.kernel * unit_.columns.kernel, taps_count = unit_.rows.kernel * taps_across();
        const Source source{taps, taps_count, unit_.channels * window / taps_count, pitch};
        const float* weights = static_cast<const float*>(unit_.weights) + block * LANES * window * unit_.channels;
        each_tile(first, count, blocks, [&](long x, int pixels, Tile tile) {
            float sums[MAX_TILE * LANES];
            tile(source, x, weights, unit_.bias + block * LANES, sums);
            write(x, pixels, sums);
        });
    }

  private:
    using Tile = void (*)(const Source&, long, const float*, const float*, float*);

    template <int most = MAX_BLOCKS>
    static Tile tile_of(int blocks, bool is_single) {
        if constexpr (most > 1)
            if (blocks < most) return tile_of<most - 1>(blocks, is_single);
        return is_single ? convolve_tile<1, most> : convolve_tile<Tiles::PIXELS[most], most>;
    }

    // The last tile overlaps the one before it, so that all are whole.
    template <class Run>
    static void each_tile(long first, long count, int blocks, const Run& run) {
        const int pixels = Tiles::PIXELS[blocks];
        const long end = first + count;
        if (count < pixels) {
            for (long x = first; x < end; ++x) run(x, 1, tile_of(blocks, true));
            return;
        }
        for (long x = first; x < end; x += pixels) run(std::min(x, end - pixels), pixels, tile_of(blocks, false));
    }

    const Unit& unit_;
    const bool is_merged_;
};

}  // namespace interleaved
