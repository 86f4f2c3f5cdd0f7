// Where rows live while a later layer still needs them.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

// All memory of one run. A row holds many channels far apart: with small pages, looking up their addresses would cost
// as much as the arithmetic.
class Arena {
  public:
    Arena() = default;
    Arena(const Arena&) = delete;
    ~Arena() {
        for (const auto& [memory, bytes] : chunks_) munmap(memory, bytes);
    }

    // Room for `count` numbers.
    template <class Number>
    Number* take(long count) {
        const size_t bytes = (size_t(count) * sizeof(Number) + LINE - 1) / LINE * LINE;
        while (used_ < chunks_.size() && bytes > chunks_[used_].second - taken_) ++used_, taken_ = 0;
        if (used_ == chunks_.size()) grow(bytes);
        taken_ += bytes;
        return reinterpret_cast<Number*>(chunks_[used_].first + taken_ - bytes);
    }

    // All room is free again, and stays ours: to clear pages anew would take longer than a small image does.
    void reset() { used_ = taken_ = 0; }

  private:
    static constexpr size_t LINE = 64, CHUNK = 16 << 20;

    void grow(size_t bytes) {
        bytes = (bytes + CHUNK - 1) / CHUNK * CHUNK;
        void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        chunks_.emplace_back(static_cast<char*>(memory), bytes);
#ifdef MADV_HUGEPAGE
        madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    }

    std::vector<std::pair<char*, size_t>> chunks_;
    size_t used_ = 0, taken_ = 0;  // full chunks, and bytes taken of the next one
};

// An arena of those that earlier runs have left behind, for as long as one run lasts.
class BorrowedArena {
  public:
    BorrowedArena() {
        const std::lock_guard guard(lock_);
        if (free_.empty()) free_.push_back(std::make_unique<Arena>());
        arena_ = std::move(free_.back());
        free_.pop_back();
    }
    BorrowedArena(const BorrowedArena&) = delete;
    ~BorrowedArena() {
        arena_->reset();
        const std::lock_guard guard(lock_);
        free_.push_back(std::move(arena_));
    }
    operator Arena&() { return *arena_; }

  private:
    static inline std::mutex lock_;
    static inline std::vector<std::unique_ptr<Arena>> free_;
    std::unique_ptr<Arena> arena_;
};

// At least `count` numbers as an odd number of cache lines: rows or channels that lie so far apart do not compete for
// the same few places of the cache.
template <class Number>
inline long odd_lines(long count) {
    constexpr long line = 64 / sizeof(Number);
    return ((count + line - 1) / line | 1) * line;
}
