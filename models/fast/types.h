// Loading and storing images of three types. Computations are in float, or in double for double images.

#pragma once

#include <cstdint>
#include <cstring>

struct bfloat16 {
  uint16_t bits;
};

inline float load(const float* p, long i) { return p[i]; }
inline double load(const double* p, long i) { return p[i]; }
inline float load(const bfloat16* p, long i) {
  uint32_t wide = static_cast<uint32_t>(p[i].bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

inline void store(float* p, long i, float value) { p[i] = value; }
inline void store(double* p, long i, double value) { p[i] = value; }
inline void store(bfloat16* p, long i, float value) {
  uint32_t wide;
  std::memcpy(&wide, &value, sizeof wide);
  uint32_t rounded = (wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16;      // to nearest, ties to even
  p[i].bits = value != value ? 0x7fc0 : static_cast<uint16_t>(rounded);  // NaN remains NaN
}
