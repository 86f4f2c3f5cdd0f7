// One unit of the chain: a convolution, perhaps a max-pooling, an activation.
#pragma once

#include <algorithm>
#include <cstdint>

constexpr int MAX_KERNEL = 64;

// One axis of a sliding window.
struct Window {
    int32_t kernel, dilation, stride;
    long reach() const { return long(kernel - 1) * dilation + 1; }
    long outputs(long inputs) const { return inputs < reach() ? 0 : (inputs - reach()) / stride + 1; }
    // The input that the last tap of an output lies on, plus one.
    long inputs(long outputs) const { return outputs ? (outputs - 1) * stride + reach() : 0; }
};

// As `Unit` in chain.py. Without a pooling, the pooling windows are one pixel.
struct Unit {
    int32_t channels, maps, activation;
    Window rows, columns, pool_rows, pool_columns;
    const void* weights;  // packed as the layout wants it: packing.py
    const float* bias;
    // Of the matrix unit: numbers from pixel to pixel of the input, and how the numbers under a row of the window are
    // multiplied: by `taps_across` times `slices` times `slice`.
    int32_t pitch, taps_across, slices, slice;

    bool has_pooling() const {
        return std::max({pool_rows.kernel, pool_rows.stride, pool_columns.kernel, pool_columns.stride}) > 1;
    }
};

// The (maps, height, width) array that the last unit writes into.
struct Scores {
    float* values;
    long height, width;
    float* place(long map, long row, long column) const { return values + (map * height + row) * width + column; }
};
