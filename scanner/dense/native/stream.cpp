// The dense net of a chain of convolutions, max-poolings and activations, in the dilated form, row by row.
//
// Each unit of the chain keeps only the rows that its successor still needs, in a ring. Whenever new rows of the image
// come in, every unit computes the rows that have become possible. So the values between two layers are used while
// they are in the cache, and memory does not grow with the image's height.
//
// How a row lies in memory is one of two layouts: planar.hpp, with the arithmetic of convolution.hpp, and
// interleaved.hpp, with that of registers.hpp or, in bfloat16, of matrix.hpp.
//
// The activation comes after the pooling, where it has fewer values to work on if the pooling thins them out: it is
// monotonic, so that the largest value stays the largest.

#include <exception>
#include <stdexcept>

#include "interleaved.hpp"
#include "matrix.hpp"
#include "planar.hpp"
#include "registers.hpp"
#include "stream.hpp"

namespace {

struct Planar {
    using Number = float;
    using Ring = planar::Ring;
    using Target = planar::Target;
    using Share = planar::Share;
    static constexpr long PIXELS_APART = 64;
    static Ring input_ring(Arena& arena, const Unit& unit, long depth, long width, bool /*is_image*/) {
        return Ring(arena, depth, unit.channels, width, unit.columns.stride);
    }
};

template <class Arithmetic>
struct InterleavedBy {
    using Number = typename Arithmetic::Number;
    using Ring = interleaved::Ring<Number>;
    using Target = interleaved::Target<Number>;
    using Share = interleaved::Share<Arithmetic>;
    static constexpr long PIXELS_APART = 16;
};

struct Interleaved : InterleavedBy<interleaved::Floats> {
    static Ring input_ring(Arena& arena, const Unit& unit, long depth, long width, bool is_image) {
        const long whole = interleaved::blocks_of(unit.channels) * LANES;
        return Ring(arena, depth, is_image ? unit.channels : whole, width);
    }
};

#if defined(MITOSCAN_MATRIX)
struct InterleavedMatrix : InterleavedBy<interleaved::Matrix> {
    static Ring input_ring(Arena& arena, const Unit& unit, long depth, long width, bool is_image) {
        const Ring ring(arena, depth, unit.pitch, width + interleaved::TILE_PIXELS * unit.columns.stride);
        const long written = is_image ? unit.channels : interleaved::blocks_of(unit.channels) * LANES;
        if (written < unit.pitch) ring.clear();  // The rest is multiplied by zero, which NaN survives.
        return ring;
    }
};
#endif

// The numbers of `Rows` in packing.py.
enum Layout { PLANAR = 0, INTERLEAVED = 1, MATRIX = 2 };

void run(const Unit* units, int count, int layout, const Image& image, float* scores, int threads) {
    if (layout == PLANAR) return Stream<Planar>(units, count, image, scores, threads).run();
    if (layout == INTERLEAVED) return Stream<Interleaved>(units, count, image, scores, threads).run();
#if defined(MITOSCAN_MATRIX)
    if (layout == MATRIX) return Stream<InterleavedMatrix>(units, count, image, scores, threads).run();
#endif
    throw std::invalid_argument("layout");
}

}  // namespace

extern "C" {

// Maps of a block of weights, by layout.
int mitoscan_planar_block() { return MAPS; }
int mitoscan_interleaved_lanes() { return LANES; }
int mitoscan_interleaved_blocks() { return interleaved::MAX_BLOCKS; }

// 1 if this processor has a matrix unit for bfloat16 and the system lets us use it.
int mitoscan_has_matrix() {
#if defined(MITOSCAN_MATRIX)
    return interleaved::may_use_matrix_unit();
#else
    return 0;
#endif
}

// Writes the scores of one image: (maps of the last unit, rows, columns). Returns 0, or 1 without memory or threads.
int mitoscan_run(const Unit* units, int count, int layout, const Image* image, float* scores, int threads) {
    try {
        run(units, count, layout, *image, scores, threads);
    } catch (const std::exception&) {
        return 1;
    }
    return 0;
}
}
