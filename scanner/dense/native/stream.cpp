// The dense net of a chain of convolutions, max-poolings and activations, in the dilated form, row by row.
//
// Each unit of the chain keeps only the rows that its successor still needs, in a ring. Whenever new rows of the image
// come in, every unit computes the rows that have become possible. So the values between two layers are used while
// they are in the cache, and memory does not grow with the image's height.
//
// How a row lies in memory, and with it the arithmetic, is one of two layouts: planar.hpp and interleaved.hpp.
//
// The activation comes after the pooling, where it has fewer values to work on if the pooling thins them out: it is
// monotonic, so that the largest value stays the largest.

#include <exception>

#include "interleaved.hpp"
#include "planar.hpp"
#include "stream.hpp"

namespace {

struct Planar {
    using Ring = planar::Ring;
    using Target = planar::Target;
    using Share = planar::Share;
    static constexpr long PIXELS_APART = 64;
    static Ring input_ring(Arena& arena, const Unit& unit, long depth, long width, bool /*is_image*/) {
        return Ring(arena, depth, unit.channels, width, unit.columns.stride);
    }
};

struct Interleaved {
    using Ring = interleaved::Ring;
    using Target = interleaved::Target;
    using Share = interleaved::Share;
    static constexpr long PIXELS_APART = 16;
    static Ring input_ring(Arena& arena, const Unit& unit, long depth, long width, bool is_image) {
        const long whole = interleaved::blocks_of(unit.channels) * LANES;
        return Ring(arena, depth, is_image ? unit.channels : whole, width);
    }
};

}  // namespace

extern "C" {

// Maps of a block of weights, by layout.
int mitoscan_planar_block() { return MAPS; }
int mitoscan_interleaved_lanes() { return LANES; }
int mitoscan_interleaved_blocks() { return interleaved::MAX_BLOCKS; }

// Writes the scores of one image: (maps of the last unit, rows, columns). Returns 0, or 1 without memory or threads.
int mitoscan_run(const Unit* units, int count, int is_interleaved, const Image* image, float* scores, int threads) {
    try {
        if (is_interleaved)
            Stream<Interleaved>(units, count, *image, scores, threads).run();
        else
            Stream<Planar>(units, count, *image, scores, threads).run();
    } catch (const std::exception&) {
        return 1;
    }
    return 0;
}
}
