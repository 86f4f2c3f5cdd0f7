// The arithmetic of interleaved rows in bfloat16: the processor's matrix unit (Intel AMX). One instruction adds, to the
// float32 sums of 16 pixels x 16 maps, the products of up to 32 channels. Sums are rounded once, after the activation.
#pragma once

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#define MITOSCAN_MATRIX 1

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "unit.hpp"
#include "vector.hpp"

namespace interleaved {

// Tiles: sums in 0 to 3, pixels in 4 and 5, weights in 6 and 7.
constexpr int TILE_PIXELS = 16;

// Linux lets a process use the unit after it has asked once.
inline bool may_use_matrix_unit() {
    constexpr long REQUEST = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    static const bool is_allowed = syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
    return is_allowed;
}

// The compiler does not see that the unit reads memory: before it does, everything must lie there.
inline void written_by_now(const void* memory) { asm volatile("" ::"r"(memory) : "memory"); }

// The shape of all tiles, as long as this lives: `slice` channels of a pixel are multiplied at once.
class TileShape {
  public:
    explicit TileShape(int slice) {
        struct alignas(64) {
            uint8_t palette = 1, first_row = 0, reserved[14] = {};
            uint16_t row_bytes[16] = {};
            uint8_t rows[16] = {};
        } shape;
        for (int tile = 0; tile < 8; ++tile) shape.row_bytes[tile] = 64, shape.rows[tile] = TILE_PIXELS;
        shape.row_bytes[4] = shape.row_bytes[5] = uint16_t(slice * sizeof(Bfloat));
        shape.rows[6] = shape.rows[7] = uint8_t(slice / 2);
        written_by_now(&shape);
        _tile_loadconfig(&shape);
    }
    TileShape(const TileShape&) = delete;
    ~TileShape() { _tile_release(); }
};

class Matrix {
  public:
    using Number = Bfloat;
    static constexpr int MOST_BLOCKS = 2;

    Matrix(const Unit& unit, long /*pitch*/) : unit_(unit) {}

    // To be kept while rows are computed, in each thread.
    TileShape session() const { return TileShape(unit_.slice); }

    // Where neighbouring columns of the window lie side by side, a row of the window can be one tap of many channels.
    int taps_across() const { return unit_.taps_across; }

    // Pixels first..first + count of a row, one or two blocks of maps: write(pixel, pixels, sums) gets every finished
    // tile. The order of the additions is the same for every pixel, wherever it lies in a row. Rows end in room for the
    // pixels that fill the last tile; what comes of those is thrown away.
    template <class Write>
    void row(const Number* const* taps, long pitch, long first, long count, long block, int blocks,
             const Write& write) const {
        const long steps = long(unit_.rows.kernel) * taps_across() * unit_.slices, step = unit_.slice * LANES;
        const Number* weights = static_cast<const Number*>(unit_.weights) + block * steps * step;
        const Work work{taps, unit_.rows.kernel * taps_across(), unit_.slices, unit_.slice, pitch,
                        {weights, weights + (blocks > 1 ? steps * step : 0)}, unit_.bias + block * LANES};
        alignas(64) float sums[4 * TILE_PIXELS * LANES];
        written_by_now(taps);
        const int most = blocks > 1 ? 2 : 4;
        for (long x = first; x < first + count; x += most * TILE_PIXELS) {
            const long left = first + count - x;
            const int tiles = int(std::min((left + TILE_PIXELS - 1) / TILE_PIXELS, long(most)));
            blocks > 1 ? two_blocks(work, x, tiles, sums) : one_block(work, x, tiles, sums);
            write(x, int(std::min(left, long(tiles) * TILE_PIXELS)), sums);
        }
    }

  private:
    struct Work {
        const Number* const* taps;
        int taps_count, slices, slice;
        long pitch;
        const Number* weights[2];
        const float* bias;
    };

    // Calls step(input, offset of the weights) for each slice of each tap.
    template <class Step>
    static void each_slice(const Work& work, long x, const Step& step) {
        long weights = 0;
        for (int tap = 0; tap < work.taps_count; ++tap) {
            const Number* input = work.taps[tap] + x * work.pitch;
            for (int slice = 0; slice < work.slices; ++slice, input += work.slice, weights += work.slice * LANES)
                step(input, weights);
        }
    }

    // Sums of `tiles` x 16 pixels and 16 maps: (pixel, lane).
    template <int tiles>
    static void one_block(const Work& work, long x, float* sums) {
        constexpr long LINE = 64;
        const long apart = work.pitch * sizeof(Number), next = TILE_PIXELS * work.pitch;
        _tile_loadd(0, work.bias, 0);
        if constexpr (tiles > 1) _tile_loadd(1, work.bias, 0);
        if constexpr (tiles > 2) _tile_loadd(2, work.bias, 0);
        if constexpr (tiles > 3) _tile_loadd(3, work.bias, 0);
        each_slice(work, x, [&](const Number* input, long weights) {
            _tile_loadd(6, work.weights[0] + weights, LINE);
            _tile_loadd(4, input, apart);
            _tile_dpbf16ps(0, 4, 6);
            if constexpr (tiles > 1) _tile_loadd(5, input + next, apart);
            if constexpr (tiles > 1) _tile_dpbf16ps(1, 5, 6);
            if constexpr (tiles > 2) _tile_loadd(4, input + 2 * next, apart);
            if constexpr (tiles > 2) _tile_dpbf16ps(2, 4, 6);
            if constexpr (tiles > 3) _tile_loadd(5, input + 3 * next, apart);
            if constexpr (tiles > 3) _tile_dpbf16ps(3, 5, 6);
        });
        _tile_stored(0, sums, LINE);
        if constexpr (tiles > 1) _tile_stored(1, sums + TILE_PIXELS * LANES, LINE);
        if constexpr (tiles > 2) _tile_stored(2, sums + 2 * TILE_PIXELS * LANES, LINE);
        if constexpr (tiles > 3) _tile_stored(3, sums + 3 * TILE_PIXELS * LANES, LINE);
    }

    // Sums of `tiles` x 16 pixels and 32 maps: (pixel, block, lane).
    template <int tiles>
    static void two_blocks(const Work& work, long x, float* sums) {
        constexpr long LINE = 64;
        const long apart = work.pitch * sizeof(Number), next = TILE_PIXELS * work.pitch;
        _tile_loadd(0, work.bias, 0);
        _tile_loadd(1, work.bias + LANES, 0);
        if constexpr (tiles > 1) _tile_loadd(2, work.bias, 0);
        if constexpr (tiles > 1) _tile_loadd(3, work.bias + LANES, 0);
        each_slice(work, x, [&](const Number* input, long weights) {
            _tile_loadd(6, work.weights[0] + weights, LINE);
            _tile_loadd(4, input, apart);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, work.weights[1] + weights, LINE);
            _tile_dpbf16ps(1, 4, 7);
            if constexpr (tiles > 1) _tile_loadd(5, input + next, apart);
            if constexpr (tiles > 1) _tile_dpbf16ps(2, 5, 6);
            if constexpr (tiles > 1) _tile_dpbf16ps(3, 5, 7);
        });
        float* const second = sums + 2 * TILE_PIXELS * LANES;
        _tile_stored(0, sums, 2 * LINE);
        _tile_stored(1, sums + LANES, 2 * LINE);
        if constexpr (tiles > 1) _tile_stored(2, second, 2 * LINE);
        if constexpr (tiles > 1) _tile_stored(3, second + LANES, 2 * LINE);
    }

    static void one_block(const Work& work, long x, int tiles, float* sums) {
        switch (tiles) {
            case 1: return one_block<1>(work, x, sums);
            case 2: return one_block<2>(work, x, sums);
            case 3: return one_block<3>(work, x, sums);
            default: return one_block<4>(work, x, sums);
        }
    }

    static void two_blocks(const Work& work, long x, int tiles, float* sums) {
        tiles == 1 ? two_blocks<1>(work, x, sums) : two_blocks<2>(work, x, sums);
    }

    const Unit& unit_;
};

}  // namespace interleaved

#endif
