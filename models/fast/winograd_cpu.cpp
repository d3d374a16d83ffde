// The transforms of a 3 x 3 convolution by Winograd's F(2, 3) along image rows, for images in channels-last order.
//
// Two neighbouring outputs of a row take 4 products for each row of the kernel, in place of 6: out of 4 inputs d and 3 weights g
//
//     v = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)    u = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2)    m = u v
//     y = (m0 + m1 + m2, m1 - m2 - m3)
//
// so a convolution becomes four with kernels of one column on images of half the width. T is the type of images (float, double
// or bfloat16), A that of weights and of all arithmetic. The four images or kernels in v, m and u are separate arrays.

#include "types.h"

namespace {

template <class T>
using Four = T* const*;

struct Shape {
  long images, height, width, channels;  // of the padded input for v, of the output for m; the width is even
};

// padded (N, height, width, C) to v (4, N, height, (width - 2) / 2, C)
template <class T, class A>
void input_forward(const Shape& s, const T* padded, Four<T> v) {
  long pairs = (s.width - 2) / 2, rows = s.images * s.height;
#pragma omp parallel for
  for (long row = 0; row < rows; ++row)
    for (long t = 0; t < pairs; ++t) {
      const T* d = padded + (row * s.width + 2 * t) * s.channels;
      long to = (row * pairs + t) * s.channels;
      T *v0 = v[0] + to, *v1 = v[1] + to, *v2 = v[2] + to, *v3 = v[3] + to;
#pragma omp simd
      for (long c = 0; c < s.channels; ++c) {
        A d0 = load(d, c), d1 = load(d, s.channels + c), d2 = load(d, 2 * s.channels + c), d3 = load(d, 3 * s.channels + c);
        store(v0, c, d0 - d2);
        store(v1, c, d1 + d2);
        store(v2, c, d2 - d1);
        store(v3, c, d1 - d3);
      }
    }
}

template <class T, class A>
void input_backward(const Shape& s, Four<const T> of_v, T* of_padded) {
  long pairs = (s.width - 2) / 2, rows = s.images * s.height;
#pragma omp parallel for
  for (long row = 0; row < rows; ++row)
    for (long q = 0; q <= pairs; ++q) {  // columns 2 q and 2 q + 1, in pairs q (as its first two) and q - 1 (as its last two)
      long own = (row * pairs + q) * s.channels, before = own - s.channels;
      const T *v0 = of_v[0], *v1 = of_v[1], *v2 = of_v[2], *v3 = of_v[3];
      bool has_own = q < pairs, has_before = q > 0;
      T* out = of_padded + (row * s.width + 2 * q) * s.channels;
#pragma omp simd
      for (long c = 0; c < s.channels; ++c) {
        A even = 0, odd = 0;
        if (has_own) {
          even += load(v0, own + c);
          odd += load(v1, own + c) - load(v2, own + c) + load(v3, own + c);
        }
        if (has_before) {
          even += load(v1, before + c) + load(v2, before + c) - load(v0, before + c);
          odd -= load(v3, before + c);
        }
        store(out, c, even);
        store(out, s.channels + c, odd);
      }
    }
}

// m (4, N, height, width / 2, C) to y (N, height, width, C)
template <class T, class A>
void output_forward(const Shape& s, Four<const T> m, T* y) {
  long pixels = s.images * s.height * s.width / 2;
#pragma omp parallel for
  for (long p = 0; p < pixels; ++p) {
    long from = p * s.channels;
    T* out = y + 2 * from;
#pragma omp simd
    for (long c = 0; c < s.channels; ++c) {
      A m0 = load(m[0], from + c), m1 = load(m[1], from + c), m2 = load(m[2], from + c), m3 = load(m[3], from + c);
      store(out, c, m0 + m1 + m2);
      store(out, s.channels + c, m1 - m2 - m3);
    }
  }
}

template <class T, class A>
void output_backward(const Shape& s, const T* of_y, Four<T> of_m) {
  long pixels = s.images * s.height * s.width / 2;
#pragma omp parallel for
  for (long p = 0; p < pixels; ++p) {
    long to = p * s.channels;
    const T* in = of_y + 2 * to;
#pragma omp simd
    for (long c = 0; c < s.channels; ++c) {
      A even = load(in, c), odd = load(in, s.channels + c);
      store(of_m[0], to + c, even);
      store(of_m[1], to + c, even + odd);
      store(of_m[2], to + c, even - odd);
      store(of_m[3], to + c, -odd);
    }
  }
}

// Rows of the kernel, (3, C) each, one after another, to four times (rows, C)
template <class T, class A>
void weight_forward(long rows, long channels, const A* weight, Four<T> u) {
#pragma omp parallel for
  for (long row = 0; row < rows; ++row) {
    const A* g = weight + 3 * row * channels;
    long to = row * channels;
#pragma omp simd
    for (long c = 0; c < channels; ++c) {
      A g0 = g[c], g1 = g[channels + c], g2 = g[2 * channels + c];
      store(u[0], to + c, g0);
      store(u[1], to + c, (g0 + g1 + g2) / 2);
      store(u[2], to + c, (g0 - g1 + g2) / 2);
      store(u[3], to + c, g2);
    }
  }
}

template <class T, class A>
void weight_backward(long rows, long channels, Four<const T> of_u, A* of_weight) {
#pragma omp parallel for
  for (long row = 0; row < rows; ++row) {
    long from = row * channels;
    A* out = of_weight + 3 * row * channels;
#pragma omp simd
    for (long c = 0; c < channels; ++c) {
      A u1 = load(of_u[1], from + c), u2 = load(of_u[2], from + c);
      out[c] = load(of_u[0], from + c) + (u1 + u2) / 2;
      out[channels + c] = (u1 - u2) / 2;
      out[2 * channels + c] = (u1 + u2) / 2 + load(of_u[3], from + c);
    }
  }
}

}  // namespace

#define EXPORT(NAME, T, A)                                                                                            \
  extern "C" void input_forward_##NAME(const long* s, const T* padded, T** v) {                                       \
    input_forward<T, A>({s[0], s[1], s[2], s[3]}, padded, v);                                                         \
  }                                                                                                                   \
  extern "C" void input_backward_##NAME(const long* s, const T** of_v, T* of_padded) {                                \
    input_backward<T, A>({s[0], s[1], s[2], s[3]}, of_v, of_padded);                                                  \
  }                                                                                                                   \
  extern "C" void output_forward_##NAME(const long* s, const T** m, T* y) {                                           \
    output_forward<T, A>({s[0], s[1], s[2], s[3]}, m, y);                                                             \
  }                                                                                                                   \
  extern "C" void output_backward_##NAME(const long* s, const T* of_y, T** of_m) {                                    \
    output_backward<T, A>({s[0], s[1], s[2], s[3]}, of_y, of_m);                                                      \
  }                                                                                                                   \
  extern "C" void weight_forward_##NAME(const long* s, const A* weight, T** u) {                                      \
    weight_forward<T, A>(s[0], s[1], weight, u);                                                                      \
  }                                                                                                                   \
  extern "C" void weight_backward_##NAME(const long* s, const T** of_u, A* of_weight) {                               \
    weight_backward<T, A>(s[0], s[1], of_u, of_weight);                                                               \
  }

EXPORT(float32, float, float)
EXPORT(float64, double, double)
EXPORT(bfloat16, bfloat16, float)
