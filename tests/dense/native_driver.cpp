// Runs the native kernel in a process of its own, for processors that the tests emulate: one call a run.
//   native_driver shape                  prints the kernel's answers that make a Shape
//   native_driver run CALL SCORES        reads a call as emulated.py writes it, and writes the scores
#include "stream.cpp"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

template <class Number>
void take(std::FILE* file, Number* to, size_t count) {
    if (std::fread(to, sizeof(Number), count, file) != count) std::abort();
}

template <class Number>
std::vector<Number> take_counted(std::FILE* file) {
    int64_t count;
    take(file, &count, 1);
    std::vector<Number> values(count);
    take(file, values.data(), count);
    return values;
}

int run_call(const char* call, const char* answer) {
    std::FILE* file = std::fopen(call, "rb");
    if (!file) std::abort();
    int32_t layout, threads, count;
    take(file, &layout, 1), take(file, &threads, 1), take(file, &count, 1);
    std::vector<Unit> units(count);
    std::deque<std::vector<float>> kept;
    for (Unit& unit : units) {
        take(file, &unit, 1);
        kept.push_back(take_counted<float>(file)), unit.weights = kept.back().data();
        kept.push_back(take_counted<float>(file)), unit.bias = kept.back().data();
    }
    Image image;
    take(file, &image, 1);
    const auto pixels = take_counted<uint8_t>(file);
    const auto table = take_counted<float>(file);
    image.pixels = pixels.data(), image.table = table.empty() ? nullptr : table.data();
    int64_t values;
    take(file, &values, 1);
    std::fclose(file);
    std::vector<float> scores(values);
    const int failed = mitoscan_run(units.data(), count, layout, &image, scores.data(), threads);
    file = std::fopen(answer, "wb");
    if (!file || std::fwrite(scores.data(), sizeof(float), scores.size(), file) != scores.size()) std::abort();
    std::fclose(file);
    return failed;
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 4 && std::string(arguments[1]) == "run") return run_call(arguments[2], arguments[3]);
    std::printf("%d %d %d\n", mitoscan_planar_block(), mitoscan_interleaved_lanes(), mitoscan_interleaved_blocks());
}
