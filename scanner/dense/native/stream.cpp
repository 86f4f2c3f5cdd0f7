// A chain of convolutions, max-poolings and activations over an image, in the dilated form, streamed row by row.
//
// Each unit of the chain keeps only the rows that its successor still needs, in a ring. Whenever new rows of the image
// come in, every unit computes the rows that have become possible. So the values between two layers are used while
// they are in the cache, and memory does not grow with the image's height.
//
// Rows are planar: the pixels of one channel lie side by side, and a vector holds neighbouring pixels. So any number
// of channels wastes nothing, and a dilated kernel costs what a dense one does: only its loads start elsewhere.
//
// The activation comes after the pooling, where it has fewer values to work on if the pooling thins them out: it is
// monotonic, so that the largest value stays the largest.

#include <barrier>
#include <deque>
#include <exception>
#include <thread>

#include "unit.hpp"

// As `Image` in run.py: pitches in numbers, not bytes.
struct Image {
    const float* pixels;
    int64_t height, width, channel_pitch, row_pitch, column_pitch;
};

namespace {

// Rows of the image that come in at once: few enough for the cache; more where threads would wait for each other after
// every few rows.
constexpr long ROWS_ALONE = 8, ROWS_TOGETHER = 32;

class Stream {
  public:
    Stream(const Unit* units, int count, const Image& image, float* scores, int threads)
        : units_(units), count_(count), image_(image), threads_(threads),
          rows_at_once_(threads > 1 ? ROWS_TOGETHER : ROWS_ALONE), meeting_(threads) {
        long height = image.height, width = image.width, rows = rows_at_once_;
        std::vector<long> heights, widths;
        for (int n = 0; n < count; ++n) {
            const Unit& unit = units[n];
            rings_.emplace_back(arena_, unit.rows.reach() + rows, unit.channels, width, unit.columns.stride);
            // No more rows than these become possible by `rows` new ones.
            rows = (rows + unit.rows.stride - 1) / unit.rows.stride;
            rows = (rows + unit.pool_rows.stride - 1) / unit.pool_rows.stride;
            heights.push_back(height = unit.pool_rows.outputs(unit.rows.outputs(height)));
            widths.push_back(width = unit.pool_columns.outputs(unit.columns.outputs(width)));
        }
        for (int n = 0; n < count; ++n) {
            const Target target{n + 1 < count ? &rings_[n + 1] : nullptr, scores, heights[n], widths[n]};
            for (int thread = 0; thread < threads; ++thread) {
                const auto [first, last] = part_of(widths[n], thread);
                shares_.emplace_back(arena_, units[n], rings_[n], target, first, last);
            }
        }
    }

    void run() {
        std::vector<std::jthread> others;
        for (int thread = 1; thread < threads_; ++thread) others.emplace_back([this, thread] { work(thread); });
        work(0);
    }

  private:
    // A thread's part of a row: whole cache lines of an even number, so that no two threads write into the same one.
    std::pair<long, long> part_of(long width, int thread) const {
        constexpr long unit = 64;
        const long blocks = (width + unit - 1) / unit;
        const auto edge = [&](int part) { return std::min(width, blocks * part / threads_ * unit); };
        return {edge(thread), edge(thread + 1)};
    }

    void work(int thread) {
        for (long fed = 0; fed < image_.height;) {
            const long rows = std::min(rows_at_once_, image_.height - fed);
            feed(fed, rows, thread);
            long available = fed += rows;
            for (int n = 0; n < count_; ++n) {
                if (threads_ > 1) meeting_.arrive_and_wait();
                shares_[n * threads_ + thread].advance(available);
                available = units_[n].pool_rows.outputs(units_[n].rows.outputs(available));
            }
            if (threads_ > 1) meeting_.arrive_and_wait();
        }
    }

    // Copies new rows of the image into the first ring.
    void feed(long row, long rows, int thread) {
        const auto [first, last] = part_of(image_.width, thread);
        std::vector<float> line(last - first);
        for (long y = row; y < row + rows; ++y) {
            for (long channel = 0; channel < units_[0].channels; ++channel) {
                const float* from = image_.pixels + channel * image_.channel_pitch + y * image_.row_pitch;
                for (long x = first; x < last; ++x) line[x - first] = from[x * image_.column_pitch];
                rings_[0].write(y, channel, first, last - first, line.data());
            }
        }
    }

    const Unit* units_;
    const int count_;
    const Image image_;
    const int threads_;
    const long rows_at_once_;
    std::barrier<> meeting_;
    Arena arena_;
    std::deque<Ring> rings_;    // one per unit: its input
    std::deque<Share> shares_;  // (unit, thread)
};

}  // namespace

extern "C" {

int mitoscan_maps_per_block() { return MAPS; }

// Writes the scores of one image: (maps of the last unit, rows, columns). Returns 0, or 1 without memory or threads.
int mitoscan_run(const Unit* units, int count, const Image* image, float* scores, int threads) {
    try {
        Stream(units, count, *image, scores, threads).run();
    } catch (const std::exception&) {
        return 1;
    }
    return 0;
}
}
