// Planar rows: the pixels of one channel lie side by side, and a vector holds neighbouring pixels. Any number of
// channels wastes nothing, and a dilated kernel costs what a dense one does: only its loads start elsewhere.
#pragma once

#include <cstring>

#include "convolution.hpp"
#include "memory.hpp"
#include "unit.hpp"

namespace planar {

// Room for a row and for the whole vectors that reach beyond it. An odd number of cache lines: else all channels of a
// pixel would compete for the same few places of the cache.
inline long padded(long pixels) { return odd_lines<float>(pixels + 4 * LANES); }

// The last rows of some channels. Where the next window has a stride, columns lie in as many phases, every stride-th
// column beside the other, so that loads stay contiguous.
struct Ring {
    long depth, phases, phase_pitch, channel_pitch, row_pitch;
    float* values;

    Ring(Arena& arena, long depth, long channels, long width, long phases = 1)
        : depth(depth), phases(phases), phase_pitch(padded(width / phases + 1)), channel_pitch(phase_pitch * phases),
          row_pitch(channel_pitch * channels), values(arena.take<float>(depth * row_pitch)) {}

    float* row(long number) const { return values + number % depth * row_pitch; }
    long place(long column) const { return column % phases * phase_pitch + column / phases; }

    // Writes `count` columns of one channel, from column `first` on; they come `step` apart.
    void write(long number, long channel, long first, long count, const float* from, long step = 1) const {
        float* to = row(number) + channel * channel_pitch;
        if (phases == 1 && step == 1) {
            std::memcpy(to + first, from, count * sizeof(float));
            return;
        }
        for (long start = 0; start < std::min(phases, count); ++start)
            for (long x = start, at = place(first + start); x < count; x += phases, ++at) to[at] = from[x * step];
    }
};

// Where a unit's result goes: the next unit's ring, or the scores.
struct Target {
    const Ring* ring;
    Scores scores;

    bool takes_whole_vectors() const { return ring && ring->phases == 1; }
    float* place(long row, long map, long column) const {
        return ring ? ring->row(row) + map * ring->channel_pitch + column : scores.place(map, row, column);
    }
    void write(long row, long map, long column, long count, const float* from) const {
        if (ring)
            ring->write(row, map, column, count, from);
        else
            std::memcpy(place(row, map, column), from, count * sizeof(float));
    }
};
// What one thread does of one unit: columns first..last of its result, from its own rows of the convolution.
class Share {
  public:
    Share(Arena& arena, const Unit& unit, const Ring& input, const Target& target, long first, long last,
          long /*batch*/)
        : unit_(unit), input_(input), target_(target), first_(first), count_(last - first),
          conv_first_(first * unit.pool_columns.stride), conv_count_(unit.pool_columns.inputs(count_)),
          is_in_place_(target.takes_whole_vectors() && !unit.has_pooling()),
          fresh_(arena, is_in_place_ ? 0 : unit.pool_rows.reach(), unit.maps,
                 conv_count_ + LANES * unit.pool_columns.stride),
          line_(arena.take<float>(padded(count_))) {}

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
        for (; done_ < possible; ++done_) {
            if (!count_) continue;
            if (is_in_place_) {
                convolve_into_target<activation>(done_);
                continue;
            }
            convolve(done_, fresh_.row(done_), fresh_.channel_pitch, [](float*, int) {});
            const long top = done_ - (unit_.pool_rows.reach() - 1);
            if (top >= 0 && top % unit_.pool_rows.stride == 0) finish<activation>(top / unit_.pool_rows.stride);
        }
    }

    // Without a pooling the sums need no row of their own.
    template <int activation>
    void convolve_into_target(long row) {
        const long pitch = target_.ring->channel_pitch;
        convolve(row, target_.place(row, 0, first_), pitch, [&](float* sums, int vectors) {
            if constexpr (activation != NONE)
                for (long map = 0; map < unit_.maps; ++map, sums += pitch)
                    for (int v = 0; v < vectors; ++v)
                        store(sums + v * LANES, activate<activation>(load(sums + v * LANES)));
        });
    }

    template <class After>
    void convolve(long row, float* out, long out_pitch, const After& after) {
        Convolution c;
        c.kernel_rows = unit_.rows.kernel, c.kernel_columns = unit_.columns.kernel;
        c.channels = unit_.channels, c.maps = unit_.maps, c.pitch = input_.channel_pitch;
        c.weights = static_cast<const float*>(unit_.weights), c.bias = unit_.bias;
        c.out = out, c.out_pitch = out_pitch;
        for (int i = 0; i < unit_.rows.kernel; ++i)
            c.rows[i] = input_.row(row * unit_.rows.stride + long(i) * unit_.rows.dilation);
        for (int j = 0; j < unit_.columns.kernel; ++j)
            c.columns[j] = int(input_.place(long(j) * unit_.columns.dilation));
        convolve_row(c, conv_first_, conv_first_ + conv_count_, after);
    }

    template <int activation>
    void finish(long row) {
        switch (unit_.pool_columns.stride) {
            case 1: return pool<activation, 1>(row);
            case 2: return pool<activation, 2>(row);
            default: return pool<activation, 0>(row);
        }
    }

    // The activation of the largest value under the window; stride 0 stands for any other.
    template <int activation, int stride>
    void pool(long row) {
        const float* tops[MAX_KERNEL];
        for (int i = 0; i < unit_.pool_rows.kernel; ++i)
            tops[i] = fresh_.row(row * unit_.pool_rows.stride + long(i) * unit_.pool_rows.dilation);
        const long across = unit_.pool_columns.dilation, step = unit_.pool_columns.stride;
        const bool is_direct = target_.takes_whole_vectors();
        for (long map = 0; map < unit_.maps; ++map) {
            float* to = is_direct ? target_.place(row, map, first_) : line_;
            for (long x = 0; x < count_; x += LANES) {
                const long from = map * fresh_.channel_pitch + x * step;
                Vector best = load_strided<stride>(tops[0] + from, step);
                for (int i = 0; i < unit_.pool_rows.kernel; ++i)
                    for (int j = i ? 0 : 1; j < unit_.pool_columns.kernel; ++j)
                        best = larger(best, load_strided<stride>(tops[i] + from + j * across, step));
                store(to + x, activate<activation>(best));
            }
            if (!is_direct) target_.write(row, map, first_, count_, line_);
        }
    }

    const Unit& unit_;
    const Ring& input_;
    const Target target_;
    const long first_, count_, conv_first_, conv_count_;
    const bool is_in_place_;
    const Ring fresh_;  // the convolution's last rows, before pooling and activation
    float* const line_;
    long done_ = 0;
};

}  // namespace planar
