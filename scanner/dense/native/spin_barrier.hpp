// Where threads wait for each other.
#pragma once

#include <atomic>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// A barrier that first looks again and again: rows come every few tenths of a millisecond, and to be put to sleep and
// woken takes a good part of one.
class SpinBarrier {
  public:
    explicit SpinBarrier(int count) : count_(count), missing_(count) {}

    void arrive_and_wait() {
        const int turn = turn_.load(std::memory_order_acquire);
        if (missing_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            missing_.store(count_, std::memory_order_relaxed);
            turn_.fetch_add(1, std::memory_order_release);
            turn_.notify_all();
            return;
        }
        for (int looks = 0; looks < LOOKS; ++looks) {
            if (turn_.load(std::memory_order_acquire) != turn) return;
            rest();
        }
        turn_.wait(turn, std::memory_order_acquire);
    }

  private:
    static constexpr int LOOKS = 4000;  // about 0.1 ms

    static void rest() {
#if defined(__x86_64__)
        _mm_pause();
#endif
    }

    const int count_;
    std::atomic<int> missing_, turn_{0};
};
