// Interleaved rows: the channels of one pixel lie side by side, and a vector holds neighbouring maps of one pixel. Maps
// are rounded up to whole vectors; in return all loads of weights are aligned and in sequence, and inputs come from as
// few places as there are taps.
#pragma once

#include <cstring>
#include <vector>

#include "memory.hpp"
#include "unit.hpp"
#include "vector.hpp"

namespace interleaved {

// A tile of sums is some pixels times some vectors of maps ("blocks"): as many as fit into the registers beside one
// vector of weights a block. By number of blocks: how many pixels.
#if defined(__AVX512F__)
constexpr int MAX_BLOCKS = 4, PIXELS[MAX_BLOCKS + 1] = {0, 24, 12, 8, 6};
#else
constexpr int MAX_BLOCKS = 2, PIXELS[MAX_BLOCKS + 1] = {0, 10, 5};
#endif
constexpr int MAX_TILE = 24;  // vectors
// Weights are fetched this many channels ahead: all of them are too many for the first-level cache.
constexpr int AHEAD = 8, LINE = 16;  // numbers in a line of the cache

inline long blocks_of(long maps) { return (maps + LANES - 1) / LANES; }

// The last rows of some channels: (row, pixel, channel).
struct Ring {
    long depth, pitch, row_pitch;  // `pitch` from pixel to pixel
    float* values;

    Ring(Arena& arena, long depth, long pitch, long width)
        : depth(depth), pitch(pitch), row_pitch(odd_lines(width * pitch)), values(arena.take(depth * row_pitch)) {}

    float* row(long number) const { return values + number % depth * row_pitch; }
    float* pixel(long number, long column) const { return row(number) + column * pitch; }
    // Writes `count` columns of one channel, from column `first` on; they come `step` apart.
    void write(long number, long channel, long first, long count, const float* from, long step) const {
        float* to = pixel(number, first) + channel;
        for (long x = 0; x < count; ++x) to[x * pitch] = from[x * step];
    }
};

// Where a unit's result goes: the next unit's ring, or the scores.
struct Target {
    const Ring* ring;
    Scores scores;

    // Some pixels of some blocks: `sums` is (pixel, block, lane).
    template <int activation>
    void write(long row, long column, int pixels, int first_block, int blocks, long maps, const float* sums) const {
        if (!ring) return write_scores<activation>(row, column, pixels, first_block, blocks, maps, sums);
        float* to = ring->pixel(row, column) + first_block * LANES;
        for (int p = 0; p < pixels; ++p, to += ring->pitch)
            for (int b = 0; b < blocks; ++b, sums += LANES) store(to + b * LANES, activate<activation>(load(sums)));
    }

    template <int activation>
    void write_scores(long row, long column, int pixels, int first_block, int blocks, long maps,
                      const float* sums) const {
        float values[LANES];
        for (int p = 0; p < pixels; ++p) {
            for (int b = 0; b < blocks; ++b, sums += LANES) {
                store(values, activate<activation>(load(sums)));
                const long map = (first_block + b) * LANES;
                for (int m = 0; m < std::min(maps - map, long(LANES)); ++m)
                    *scores.place(map + m, row, column + p) = values[m];
            }
        }
    }
};

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

// What one thread does of one unit: columns first..last of its result, from its own rows of the convolution. `batch` is
// the most rows of the convolution that become possible at once.
class Share {
  public:
    Share(Arena& arena, const Unit& unit, const Ring& input, const Target& target, long first, long last, long batch)
        : unit_(unit), input_(input), target_(target), first_(first), count_(last - first),
          conv_first_(first * unit.pool_columns.stride), conv_count_(unit.pool_columns.inputs(count_)),
          taps_(unit.rows.kernel * unit.columns.kernel),
          fresh_(arena, unit.has_pooling() ? unit.pool_rows.reach() + batch : 0, blocks_of(unit.maps) * LANES,
                 conv_count_) {}

    // Computes every row that `available` rows of input allow and that is not done yet.
    void advance(long available) {
        switch (unit_.activation) {
            case TANH: return advance_with<TANH>(available);
            case RELU: return advance_with<RELU>(available);
            case SIGMOID: return advance_with<SIGMOID>(available);
            default: return advance_with<NONE>(available);
        }
    }

  private:
    template <int activation>
    void advance_with(long available) {
        const long possible = unit_.rows.outputs(available);
        if (count_ && !unit_.has_pooling()) convolve<activation>(done_, possible, target_, first_ - conv_first_);
        if (count_ && unit_.has_pooling()) {
            convolve<NONE>(done_, possible, {&fresh_, {}}, -conv_first_);
            for (long row = done_; row < possible; ++row) {
                const long top = row - (unit_.pool_rows.reach() - 1);
                if (top >= 0 && top % unit_.pool_rows.stride == 0) pool<activation>(top / unit_.pool_rows.stride);
            }
        }
        done_ = possible;
    }

    // Rows first..last of the convolution; their pixel x goes to pixel x + shift of `target`. Some maps are done in all
    // rows before the weights of the next maps come into the cache.
    template <int activation>
    void convolve(long first, long last, const Target& target, long shift) {
        const long all = blocks_of(unit_.maps), groups = (all + MAX_BLOCKS - 1) / MAX_BLOCKS;
        for (long group = 0, block = 0; group < groups; ++group) {
            const int blocks = int(all / groups + (group < all % groups));  // as even as can be, the larger ones first
            const float* weights = unit_.weights + block * LANES * long(taps_.size()) * unit_.channels;
            for (long row = first; row < last; ++row) {
                const Source source = source_of(row);
                each_tile(blocks, [&](long x, int pixels, Tile tile) {
                    float sums[MAX_TILE * LANES];
                    tile(source, x, weights, unit_.bias + block * LANES, sums);
                    target.write<activation>(row, x + shift, pixels, int(block), blocks, unit_.maps, sums);
                });
            }
            block += blocks;
        }
    }

    // Where neighbouring columns of the window lie side by side, a row of the window is one tap of many channels.
    Source source_of(long row) {
        const Window &rows = unit_.rows, &columns = unit_.columns;
        const bool is_merged = columns.dilation == 1 && input_.pitch == unit_.channels;
        const int across = is_merged ? 1 : columns.kernel;
        for (int i = 0; i < rows.kernel; ++i)
            for (int j = 0; j < across; ++j)
                taps_[i * across + j] = input_.pixel(row * rows.stride + i * rows.dilation, j * columns.dilation);
        const int channels = unit_.channels * columns.kernel / across;
        return {taps_.data(), rows.kernel * across, channels, columns.stride * input_.pitch};
    }

    using Tile = void (*)(const Source&, long, const float*, const float*, float*);

    template <int most = MAX_BLOCKS>
    static Tile tile_of(int blocks, bool is_single) {
        if constexpr (most > 1)
            if (blocks < most) return tile_of<most - 1>(blocks, is_single);
        return is_single ? convolve_tile<1, most> : convolve_tile<PIXELS[most], most>;
    }

    // Tiles of the convolution's row; the last one overlaps the one before it, so that all are whole.
    template <class Run>
    void each_tile(int blocks, const Run& run) const {
        const int pixels = PIXELS[blocks];
        const long end = conv_first_ + conv_count_;
        if (conv_count_ < pixels) {
            for (long x = conv_first_; x < end; ++x) run(x, 1, tile_of(blocks, true));
            return;
        }
        for (long x = conv_first_; x < end; x += pixels) run(std::min(x, end - pixels), pixels, tile_of(blocks, false));
    }

    // The activation of the largest value under the window.
    template <int activation>
    void pool(long row) {
        const int blocks = int(blocks_of(unit_.maps));
        const long across = unit_.pool_columns.dilation * fresh_.pitch, step = unit_.pool_columns.stride * fresh_.pitch;
        const float* tops[MAX_KERNEL];
        for (int i = 0; i < unit_.pool_rows.kernel; ++i)
            tops[i] = fresh_.row(row * unit_.pool_rows.stride + long(i) * unit_.pool_rows.dilation);
        for (long x = 0; x < count_; ++x) {
            for (int b = 0; b < blocks; ++b) {
                const long from = x * step + b * LANES;
                Vector best = load(tops[0] + from);
                for (int i = 0; i < unit_.pool_rows.kernel; ++i)
                    for (int j = i ? 0 : 1; j < unit_.pool_columns.kernel; ++j)
                        best = larger(best, load(tops[i] + from + j * across));
                float value[LANES];
                store(value, best);
                target_.write<activation>(row, first_ + x, 1, b, 1, unit_.maps, value);
            }
        }
    }

    const Unit& unit_;
    const Ring& input_;
    const Target target_;
    const long first_, count_, conv_first_, conv_count_;
    std::vector<const float*> taps_;  // where the taps of the current row lie
    const Ring fresh_;  // the convolution's last rows, before pooling and activation
    long done_ = 0;
};

}  // namespace interleaved
