// A chain of units, row by row.
#pragma once

#include <deque>
#include <thread>

#include "spin_barrier.hpp"
#include "memory.hpp"
#include "unit.hpp"

// As `Image` in run.py: pitches in numbers, not bytes.
struct Image {
    const void* pixels;  // of the layout's numbers; bytes, if there is a table
    int64_t height, width, channel_pitch, row_pitch, column_pitch;
    const void* table;  // null, or the layout's number for each byte: (channel, 256)
};

// Rows of the image that come in at once: few enough for the cache, but some of the last unit; more where threads would
// wait for each other after every few rows.
constexpr long ROWS_ALONE = 8, ROWS_TOGETHER = 32, LAST_ROWS = 4;

// Layout has a Ring for rows, a Target for results and a Share of the work; and it makes the ring that feeds a unit.
template <class Layout>
class Stream {
  public:
    Stream(const Unit* units, int count, const Image& image, float* scores, int threads)
        : units_(units), count_(count), image_(image), threads_(threads),
          rows_at_once_(std::max(threads > 1 ? ROWS_TOGETHER : ROWS_ALONE, LAST_ROWS * stride_of(units, count))),
          barrier_(threads), line_(static_cast<Arena&>(arena_).template take<Number>(image.width)) {
        long height = image.height, width = image.width, rows = rows_at_once_;
        std::vector<long> heights, widths, batches;
        for (int n = 0; n < count; ++n) {
            const Unit& unit = units[n];
            rings_.push_back(Layout::input_ring(arena_, unit, unit.rows.reach() + rows, width, n == 0));
            // No more rows than these become possible by `rows` new ones.
            rows = (rows + unit.rows.stride - 1) / unit.rows.stride;
            batches.push_back(rows);
            rows = (rows + unit.pool_rows.stride - 1) / unit.pool_rows.stride;
            heights.push_back(height = unit.pool_rows.outputs(unit.rows.outputs(height)));
            widths.push_back(width = unit.pool_columns.outputs(unit.columns.outputs(width)));
        }
        for (int n = 0; n < count; ++n) {
            const Target target{n + 1 < count ? &rings_[n + 1] : nullptr, {scores, heights[n], widths[n]}};
            for (int thread = 0; thread < threads; ++thread) {
                const auto [first, last] = part_of(widths[n], thread);
                shares_.emplace_back(arena_, units[n], rings_[n], target, first, last, batches[n]);
            }
        }
    }

    void run() {
        std::vector<std::jthread> others;
        for (int thread = 1; thread < threads_; ++thread) others.emplace_back([this, thread] { work(thread); });
        work(0);
    }

  private:
    using Number = typename Layout::Number;
    using Ring = typename Layout::Ring;
    using Target = typename Layout::Target;
    using Share = typename Layout::Share;

    // Rows of the image from one row of scores to the next.
    static long stride_of(const Unit* units, int count) {
        long stride = 1;
        for (int n = 0; n < count; ++n) stride *= units[n].rows.stride * units[n].pool_rows.stride;
        return stride;
    }

    // A thread's part of a row: whole cache lines of an even number, so that no two threads write into the same one.
    std::pair<long, long> part_of(long width, int thread) const {
        const long blocks = (width + Layout::PIXELS_APART - 1) / Layout::PIXELS_APART;
        const auto edge = [&](int part) { return std::min(width, blocks * part / threads_ * Layout::PIXELS_APART); };
        return {edge(thread), edge(thread + 1)};
    }

    void work(int thread) {
        for (long fed = 0; fed < image_.height;) {
            const long rows = std::min(rows_at_once_, image_.height - fed);
            feed(fed, rows, thread);
            long available = fed += rows;
            for (int n = 0; n < count_; ++n) {
                if (threads_ > 1) barrier_.arrive_and_wait();
                shares_[n * threads_ + thread].advance(available);
                available = units_[n].pool_rows.outputs(units_[n].rows.outputs(available));
            }
            if (threads_ > 1) barrier_.arrive_and_wait();
        }
    }

    // Copies new rows of the image into the first ring.
    void feed(long row, long rows, int thread) {
        const auto [first, last] = part_of(image_.width, thread);
        for (long y = row; y < row + rows; ++y) {
            for (long channel = 0; channel < units_[0].channels; ++channel) {
                const long at = channel * image_.channel_pitch + y * image_.row_pitch + first * image_.column_pitch;
                const Number* line = static_cast<const Number*>(image_.pixels) + at;
                if (!image_.table)
                    rings_[0].write(y, channel, first, last - first, line, image_.column_pitch);
                else
                    rings_[0].write(y, channel, first, last - first, look_up(at, channel, first, last - first), 1);
            }
        }
    }

    // The numbers of some bytes of a row, in the thread's part of a line.
    const Number* look_up(long at, long channel, long first, long count) const {
        const uint8_t* bytes = static_cast<const uint8_t*>(image_.pixels) + at;
        const Number* numbers = static_cast<const Number*>(image_.table) + channel * 256;
        Number* line = line_ + first;
        for (long x = 0; x < count; ++x) line[x] = numbers[bytes[x * image_.column_pitch]];
        return line;
    }

    const Unit* units_;
    const int count_;
    const Image image_;
    const int threads_;
    const long rows_at_once_;
    SpinBarrier barrier_;
    BorrowedArena arena_;
    Number* const line_;
    std::deque<Ring> rings_;    // one per unit: its input
    std::deque<Share> shares_;  // (unit, thread)
};
