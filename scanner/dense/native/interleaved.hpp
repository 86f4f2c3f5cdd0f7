// Interleaved rows: the channels of one pixel lie side by side, and a vector holds neighbouring maps of one pixel. Maps
// are rounded up to whole vectors; in return all loads of weights are aligned and in sequence, and inputs come from as
// few places as there are taps. The arithmetic is that of registers.hpp, in float32, or of matrix.hpp, in bfloat16.
#pragma once

#include <cstring>
#include <vector>

#include "memory.hpp"
#include "unit.hpp"
#include "vector.hpp"

namespace interleaved {

inline long blocks_of(long maps) { return (maps + LANES - 1) / LANES; }

// The last rows of some channels: (row, pixel, channel).
template <class Number>
struct Ring {
    long depth, pitch, row_pitch;  // `pitch` from pixel to pixel
    Number* values;

    Ring(Arena& arena, long depth, long pitch, long width)
        : depth(depth), pitch(pitch), row_pitch(odd_lines<Number>(width * pitch)),
          values(arena.take<Number>(depth * row_pitch)) {}

    Number* row(long number) const { return values + number % depth * row_pitch; }
    Number* pixel(long number, long column) const { return row(number) + column * pitch; }
    void clear() const { std::memset(values, 0, depth * row_pitch * sizeof(Number)); }
    // Writes `count` columns of one channel, from column `first` on; they come `step` apart.
    void write(long number, long channel, long first, long count, const Number* from, long step) const {
        Number* to = pixel(number, first) + channel;
        for (long x = 0; x < count; ++x) to[x * pitch] = from[x * step];
    }
};

// Where a unit's result goes: the next unit's ring, or the scores.
template <class Number>
struct Target {
    const Ring<Number>* ring;
    Scores scores;

    // Some pixels of some blocks: `sums` is (pixel, block, lane).
    template <int activation>
    void write(long row, long column, int pixels, int first_block, int blocks, long maps, const float* sums) const {
        if (!ring) return write_scores<activation>(row, column, pixels, first_block, blocks, maps, sums);
        Number* to = ring->pixel(row, column) + first_block * LANES;
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

// What one thread does of one unit: columns first..last of its result, from its own rows of the convolution. `batch` is
// the most rows of the convolution that become possible at once.
template <class Arithmetic>
class Share {
  public:
    using Number = typename Arithmetic::Number;

    Share(Arena& arena, const Unit& unit, const Ring<Number>& input, const Target<Number>& target, long first,
          long last, long batch)
        : unit_(unit), input_(input), target_(target), first_(first), count_(last - first),
          conv_first_(first * unit.pool_columns.stride), conv_count_(unit.pool_columns.inputs(count_)),
          arithmetic_(unit, input.pitch), taps_(unit.rows.kernel * arithmetic_.taps_across()),
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
            convolve<NONE>(done_, possible, Target<float>{&fresh_, {}}, -conv_first_);
            for (long row = done_; row < possible; ++row) {
                const long top = row - (unit_.pool_rows.reach() - 1);
                if (top >= 0 && top % unit_.pool_rows.stride == 0) pool<activation>(top / unit_.pool_rows.stride);
            }
        }
        done_ = possible;
    }

    // Rows first..last of the convolution; their pixel x goes to pixel x + shift of `target`. Some maps are done in all
    // rows before the weights of the next maps come into the cache.
    template <int activation, class To>
    void convolve(long first, long last, const To& target, long shift) {
        const long most = Arithmetic::MOST_BLOCKS, all = blocks_of(unit_.maps), groups = (all + most - 1) / most;
        const long pitch = unit_.columns.stride * input_.pitch;
        [[maybe_unused]] const auto session = arithmetic_.session();
        for (long group = 0, block = 0; group < groups; ++group) {
            const int blocks = int(all / groups + (group < all % groups));  // as even as can be, the larger ones first
            for (long row = first; row < last; ++row) {
                place_taps(row);
                const auto write = [&](long x, int pixels, const float* sums) {
                    target.template write<activation>(row, x + shift, pixels, int(block), blocks, unit_.maps, sums);
                };
                arithmetic_.row(taps_.data(), pitch, conv_first_, conv_count_, block, blocks, write);
            }
            block += blocks;
        }
    }

    void place_taps(long row) {
        const Window &rows = unit_.rows, &columns = unit_.columns;
        const int across = arithmetic_.taps_across();
        for (int i = 0; i < rows.kernel; ++i)
            for (int j = 0; j < across; ++j)
                taps_[i * across + j] = input_.pixel(row * rows.stride + i * rows.dilation, j * columns.dilation);
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
                target_.template write<activation>(row, first_ + x, 1, b, 1, unit_.maps, value);
            }
        }
    }

    const Unit& unit_;
    const Ring<Number>& input_;
    const Target<Number> target_;
    const long first_, count_, conv_first_, conv_count_;
    const Arithmetic arithmetic_;
    std::vector<const Number*> taps_;  // where the taps of the current row lie
    const Ring<float> fresh_;  // the convolution's last rows, before pooling and activation
    long done_ = 0;
};

}  // namespace interleaved
