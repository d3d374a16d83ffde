// Instance normalisation of images in channels-last order, fused with the operations around it in ResNet generators and PatchGANs:
//
//     u = activation(normalise(x) + residual)        padded = reflection_pad(u)
//
// forward and backward, each reading its input twice and writing each output once. `x`, `padded` and their gradients are of
// type T (float, double or bfloat16); statistics, u, residual and all arithmetic of type A (double where T is, else float).
//
// All sums are taken along image rows first, then over rows in double, so that results do not depend on the number of threads.
// The activation is v > 0 ? v : slope * v: ReLU for slope 0, none for slope 1. A residual comes with slope 1 alone.

#include <cmath>
#include <cstring>
#include <vector>

#include "types.h"

namespace {

struct Shape {
  long images, height, width, channels, padding;

  long pixels() const { return height * width; }
  long row_size() const { return width * channels; }
  long padded_row_size() const { return (width + 2 * padding) * channels; }
  long padded_height() const { return height + 2 * padding; }
};

inline long reflect(long position, long size) {
  if (position < 0) return -position;
  return position < size ? position : 2 * (size - 1) - position;
}

// Sums over the rows of each image: partial (images, height, 2, channels) to sums (images, 2, channels).
template <class A>
void add_rows(const Shape& s, const std::vector<A>& partial, std::vector<double>& sums) {
  long width = 2 * s.channels;
  for (long n = 0; n < s.images; ++n) {
    double* total = &sums[n * width];
    for (long h = 0; h < s.height; ++h) {
      const A* row = &partial[(n * s.height + h) * width];
      for (long k = 0; k < width; ++k) total[k] += row[k];
    }
  }
}

template <class T, class A>
void statistics(const Shape& s, const T* x, A* mean, A* scale, double eps) {
  std::vector<A> partial(s.images * s.height * 2 * s.channels);
  std::vector<double> sums(s.images * 2 * s.channels, 0.0);
#pragma omp parallel for
  for (long row = 0; row < s.images * s.height; ++row) {
    // Relative to the image's first pixel, so that a mean far from 0 costs the variance no digits.
    const T* origin = x + row / s.height * s.pixels() * s.channels;
    const T* pixels = x + row * s.row_size();
    A* sum = &partial[row * 2 * s.channels];
    A* squares = sum + s.channels;
    for (long w = 0; w < s.width; ++w)
#pragma omp simd
      for (long c = 0; c < s.channels; ++c) {
        A value = load(pixels, w * s.channels + c) - load(origin, c);
        sum[c] += value;
        squares[c] += value * value;
      }
  }
  add_rows(s, partial, sums);
  for (long n = 0; n < s.images; ++n)
    for (long c = 0; c < s.channels; ++c) {
      double offset = sums[n * 2 * s.channels + c] / s.pixels();
      double variance = sums[(n * 2 + 1) * s.channels + c] / s.pixels() - offset * offset;
      mean[n * s.channels + c] = static_cast<A>(load(x, n * s.pixels() * s.channels + c) + offset);
      scale[n * s.channels + c] = static_cast<A>(1.0 / std::sqrt(std::fmax(variance, 0.0) + eps));
    }
}

template <class T, class A>
void forward(const Shape& s, const T* x, const A* residual, T* padded, A* plain, A* mean, A* scale, A slope, double eps) {
  statistics(s, x, mean, scale, eps);
#pragma omp parallel for
  for (long row = 0; row < s.images * s.padded_height(); ++row) {
    long n = row / s.padded_height(), i = row % s.padded_height() - s.padding;
    long h = reflect(i, s.height);
    const A *m = mean + n * s.channels, *k = scale + n * s.channels;
    const T* pixels = x + (n * s.height + h) * s.row_size();
    const A* added = residual ? residual + (n * s.height + h) * s.row_size() : nullptr;
    T* out = padded ? padded + row * s.padded_row_size() : nullptr;
    A* kept = plain && i == h ? plain + (n * s.height + h) * s.row_size() : nullptr;
    if (!out && !kept) continue;
    for (long w = 0; w < s.width; ++w) {
      long at = w * s.channels, to = (w + s.padding) * s.channels;
#pragma omp simd
      for (long c = 0; c < s.channels; ++c) {
        A value = (load(pixels, at + c) - m[c]) * k[c];
        if (added) value += added[at + c];
        value = value > 0 ? value : slope * value;
        if (out) store(out, to + c, value);
        if (kept) kept[at + c] = value;
      }
    }
    if (out)
      for (long j = 1; j <= s.padding; ++j) {
        size_t bytes = s.channels * sizeof(T);
        long first = s.padding, last = s.padding + s.width - 1;
        std::memcpy(out + (first - j) * s.channels, out + (first + j) * s.channels, bytes);
        std::memcpy(out + (last + j) * s.channels, out + (last - j) * s.channels, bytes);
      }
  }
}

// One row of the gradient of u from those of `padded` and `plain`: gradients of reflected pixels are added to their originals.
template <class T, class A>
void gather_row(const Shape& s, long n, long h, const T* of_padded, const A* of_plain, A* gradient) {
  if (of_plain)
    std::memcpy(gradient, of_plain + (n * s.height + h) * s.row_size(), s.row_size() * sizeof(A));
  else
    std::memset(gradient, 0, s.row_size() * sizeof(A));
  if (!of_padded) return;
  for (long i = -s.padding; i < s.height + s.padding; ++i) {
    if (reflect(i, s.height) != h) continue;
    const T* row = of_padded + (n * s.padded_height() + i + s.padding) * s.padded_row_size();
    const T* inner = row + s.padding * s.channels;
#pragma omp simd
    for (long k = 0; k < s.row_size(); ++k) gradient[k] += load(inner, k);
    for (long j = 1; j <= s.padding; ++j) {
      A *left = gradient + j * s.channels, *right = gradient + (s.width - 1 - j) * s.channels;
      const T *before = row + (s.padding - j) * s.channels, *after = row + (s.padding + s.width - 1 + j) * s.channels;
      for (long c = 0; c < s.channels; ++c) {
        left[c] += load(before, c);
        right[c] += load(after, c);
      }
    }
  }
}

template <class T, class A>
void backward(const Shape& s, const T* x, const A* mean, const A* scale, const T* of_padded, const A* of_plain,
              T* of_x, A* of_residual, A slope) {
  std::vector<A> partial(s.images * s.height * 2 * s.channels);
  std::vector<double> sums(s.images * 2 * s.channels, 0.0);
#pragma omp parallel
  {
    std::vector<A> own(s.row_size());
#pragma omp for
    for (long row = 0; row < s.images * s.height; ++row) {
      long n = row / s.height;
      const A *m = mean + n * s.channels, *k = scale + n * s.channels;
      const T* pixels = x + row * s.row_size();
      A* gradient = of_residual ? of_residual + row * s.row_size() : own.data();
      gather_row(s, n, row % s.height, of_padded, of_plain, gradient);
      A* sum = &partial[row * 2 * s.channels];
      A* along = sum + s.channels;
      for (long w = 0; w < s.width; ++w)
#pragma omp simd
        for (long c = 0; c < s.channels; ++c) {
          A value = (load(pixels, w * s.channels + c) - m[c]) * k[c];
          A g = gradient[w * s.channels + c];
          g = value > 0 ? g : slope * g;
          sum[c] += g;
          along[c] += g * value;
        }
    }
#pragma omp single
    add_rows(s, partial, sums);
    std::vector<A> mean_gradient(s.channels), mean_along(s.channels);
#pragma omp for
    for (long row = 0; row < s.images * s.height; ++row) {
      long n = row / s.height;
      const A *m = mean + n * s.channels, *k = scale + n * s.channels;
      const T* pixels = x + row * s.row_size();
      const A* gradient = of_residual ? of_residual + row * s.row_size() : own.data();
      if (!of_residual) gather_row(s, n, row % s.height, of_padded, of_plain, own.data());
      for (long c = 0; c < s.channels; ++c) {
        mean_gradient[c] = static_cast<A>(sums[n * 2 * s.channels + c] / s.pixels());
        mean_along[c] = static_cast<A>(sums[(n * 2 + 1) * s.channels + c] / s.pixels());
      }
      for (long w = 0; w < s.width; ++w)
#pragma omp simd
        for (long c = 0; c < s.channels; ++c) {
          A value = (load(pixels, w * s.channels + c) - m[c]) * k[c];
          A g = gradient[w * s.channels + c];
          g = value > 0 ? g : slope * g;
          store(of_x, row * s.row_size() + w * s.channels + c, k[c] * (g - mean_gradient[c] - value * mean_along[c]));
        }
    }
  }
}

}  // namespace

#define EXPORT(NAME, T, A)                                                                                              \
  extern "C" void forward_##NAME(const long* shape, const T* x, const A* residual, T* padded, A* plain, A* mean,        \
                                 A* scale, double slope, double eps) {                                                  \
    forward<T, A>({shape[0], shape[1], shape[2], shape[3], shape[4]}, x, residual, padded, plain, mean, scale,          \
                  static_cast<A>(slope), eps);                                                                          \
  }                                                                                                                     \
  extern "C" void backward_##NAME(const long* shape, const T* x, const A* mean, const A* scale, const T* of_padded,     \
                                  const A* of_plain, T* of_x, A* of_residual, double slope) {                           \
    backward<T, A>({shape[0], shape[1], shape[2], shape[3], shape[4]}, x, mean, scale, of_padded, of_plain, of_x,       \
                   of_residual, static_cast<A>(slope));                                                                 \
  }

EXPORT(float32, float, float)
EXPORT(float64, double, double)
EXPORT(bfloat16, bfloat16, float)
