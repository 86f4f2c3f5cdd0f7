// Where rows live while a later layer still needs them.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "vector.hpp"

// All memory of one run. A row holds many channels far apart: with small pages, looking up their addresses would cost
// as much as the arithmetic.
class Arena {
  public:
    Arena() = default;
    Arena(const Arena&) = delete;
    ~Arena() {
        for (const auto& [memory, bytes] : chunks_) munmap(memory, bytes);
    }

    // Zeroed room for `count` numbers: what lies beside the image is computed too, and must not be slow (denormal).
    float* take(long count) {
        const size_t bytes = (size_t(count) * sizeof(float) + LINE - 1) / LINE * LINE;
        if (bytes > left_) grow(bytes);
        left_ -= bytes;
        next_ += bytes;
        return reinterpret_cast<float*>(next_ - bytes);
    }

  private:
    static constexpr size_t LINE = 64, CHUNK = 16 << 20;

    void grow(size_t bytes) {
        bytes = (bytes + CHUNK - 1) / CHUNK * CHUNK;
        void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        chunks_.emplace_back(memory, bytes);
#ifdef MADV_HUGEPAGE
        madvise(memory, bytes, MADV_HUGEPAGE);
#endif
        next_ = static_cast<char*>(memory), left_ = bytes;
    }

    std::vector<std::pair<void*, size_t>> chunks_;
    char* next_ = nullptr;
    size_t left_ = 0;
};

// Room for a row and for the whole vectors that reach beyond it. An odd number of cache lines: else all channels of a
// pixel would compete for the same few places of the cache.
inline long padded(long pixels) {
    constexpr long line = 16;
    const long lines = (pixels + 4 * LANES + line - 1) / line;
    return (lines | 1) * line;
}

// The last rows of some channels. Where the next window has a stride, columns lie in as many phases, every stride-th
// column beside the other, so that loads stay contiguous.
struct Ring {
    long depth, phases, phase_pitch, channel_pitch, row_pitch;
    float* values;

    Ring(Arena& arena, long depth, long channels, long width, long phases = 1)
        : depth(depth), phases(phases), phase_pitch(padded(width / phases + 1)), channel_pitch(phase_pitch * phases),
          row_pitch(channel_pitch * channels), values(arena.take(depth * row_pitch)) {}

    float* row(long number) const { return values + number % depth * row_pitch; }
    long place(long column) const { return column % phases * phase_pitch + column / phases; }

    // Writes `count` columns of one channel, from column `first` on.
    void write(long number, long channel, long first, long count, const float* from) const {
        float* to = row(number) + channel * channel_pitch;
        for (long start = 0; start < std::min(phases, count); ++start)
            for (long x = start, at = place(first + start); x < count; x += phases, ++at) to[at] = from[x];
    }
};
