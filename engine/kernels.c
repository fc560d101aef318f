/* What the networks of a sampler are made of, in WebAssembly with 128-bit SIMD.

   The caller owns the memory and passes pointers; no kernel keeps anything. All numbers are float32
   unless said. An image is pixels × channels (HWC): the channels of a pixel lie together. Channels
   inside a network are multiples of 32.

   A matrix B (depth × columns) that others are multiplied with is packed in panels of 8 columns,
   [columns / 8][depth][8], filled up with zeros; so is a bias.

   What a 3×3 convolution reads is a framed image: zeros all around, one pixel above and to the left
   and as many below and to the right as its tiles need. `row` is what separates two of its rows, in
   floats, and `image` points at the corner of the frame. */

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

typedef v128_t f4;

enum { LANES = 4, PANEL = 8, ROWS = 4 };
/* Winograd's tiles of pixels, their points along a side and in all, and how many go together. */
enum { TILE = 4, EDGE = TILE + 2, PLACES = EDGE * EDGE, TOGETHER = 16 };

#define load wasm_v128_load
#define store wasm_v128_store
#define splat wasm_f32x4_splat
#define add wasm_f32x4_add
#define sub wasm_f32x4_sub
#define mul wasm_f32x4_mul

INLINE f4 madd(f4 a, f4 b, f4 c) { return add(mul(a, b), c); }

INLINE float total(f4 v) {
  return (wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1)) +
         (wasm_f32x4_extract_lane(v, 2) + wasm_f32x4_extract_lane(v, 3));
}

/* e^x for |x| ≤ 87, to 2 units in the last place: 2^n times the series of what is left of x. */
INLINE f4 exponential(f4 x) {
  x = wasm_f32x4_pmin(wasm_f32x4_pmax(x, splat(-87)), splat(87));
  f4 n = wasm_f32x4_nearest(mul(x, splat(1.44269504f)));
  f4 r = sub(sub(x, mul(n, splat(0.693359375f))), mul(n, splat(-2.12194440e-4f)));
  f4 sum = splat(1.f / 5040);
  sum = madd(sum, r, splat(1.f / 720));
  sum = madd(sum, r, splat(1.f / 120));
  sum = madd(sum, r, splat(1.f / 24));
  sum = madd(sum, r, splat(1.f / 6));
  sum = madd(sum, r, splat(.5f));
  sum = madd(sum, r, splat(1));
  sum = madd(sum, r, splat(1));
  return wasm_i32x4_add(sum, wasm_i32x4_shl(wasm_i32x4_trunc_sat_f32x4(n), 23));
}

INLINE f4 sigmoid_times(f4 x) {
  return wasm_f32x4_div(x, add(splat(1), exponential(wasm_f32x4_neg(x))));
}

/* ---- Weights, once ---- */

/* `count` float16 numbers, none of them infinite, as float32. */
EXPORT void widen(float *out, const uint16_t *half, int count) {
  for (int i = 0; i < count; i++) {
    union { uint32_t bits; float value; } magnitude = {(uint32_t)(half[i] & 0x7fff) << 13};
    float value = magnitude.value * 0x1p112f;
    out[i] = half[i] & 0x8000 ? -value : value;
  }
}

/* `count` bytes times `scale`. A plain loop, since visitors fetch the vectorized one. */
EXPORT void widen_bytes(float *out, const int8_t *bytes, int count, float scale) {
#pragma clang loop vectorize(disable) unroll(disable)
  for (int i = 0; i < count; i++) out[i] = bytes[i] * scale;
}

/* Pack B, whose element (k, n) lies at b[k · depth_stride + n · column_stride]. */
EXPORT void pack(float *out, const float *b, int depth, int columns, int depth_stride,
                 int column_stride) {
  for (int first = 0; first < columns; first += PANEL)
    for (int k = 0; k < depth; k++)
      for (int n = first; n < first + PANEL; n++)
        *out++ = n < columns ? b[k * depth_stride + n * column_stride] : 0;
}

/* Pack a 3×3 convolution (out channels, in channels, 3, 3) as three matrices, one a row of the
   kernel, of depth 3 · in channels. */
EXPORT void pack_direct(float *out, const float *weights, int in, int columns) {
  for (int y = 0; y < 3; y++)
    for (int first = 0; first < columns; first += PANEL)
      for (int x = 0; x < 3; x++)
        for (int c = 0; c < in; c++)
          for (int n = first; n < first + PANEL; n++)
            *out++ = n < columns ? weights[((n * in + c) * 3 + y) * 3 + x] : 0;
}

/* Rows of three taps as the six values that Winograd's minimal filtering F(4, 3) multiplies with:
   its polynomial at 0, ±1, ±2 and ∞, with the factors of Lavin and Gray 2016. */
static NOINLINE void taps_at_points(const f4 *g, int step, f4 *out, int out_step) {
  f4 a = g[0], b = g[step], c = g[2 * step], six = splat(-6), all = splat(24);
  f4 far = mul(c, splat(4)), twice = mul(b, splat(2));
  out[0] = mul(a, splat(.25f));
  out[1 * out_step] = wasm_f32x4_div(add(add(a, b), c), six);
  out[2 * out_step] = wasm_f32x4_div(add(sub(a, b), c), six);
  out[3 * out_step] = wasm_f32x4_div(add(add(a, twice), far), all);
  out[4 * out_step] = wasm_f32x4_div(add(sub(a, twice), far), all);
  out[5 * out_step] = c;
}

/* Pack a 3×3 convolution as the 36 matrices (in × out channels) of F(4×4, 3×3), four out channels
   at a time; out channels are a multiple of 8. */
EXPORT void pack_winograd(float *out, const float *weights, int in, int columns) {
  int next = 9 * in; // numbers from one out channel to another
  for (int n = 0; n < columns; n += LANES)
    for (int c = 0; c < in; c++) {
      f4 taps[9], half[EDGE * 3], full[PLACES];
      const float *first = weights + n * next + 9 * c;
      for (int t = 0; t < 9; t++, first++)
        taps[t] = wasm_f32x4_make(first[0], first[next], first[2 * next], first[3 * next]);
      for (int x = 0; x < 3; x++) taps_at_points(taps + x, 3, half + x, 3);
      for (int y = 0; y < EDGE; y++) taps_at_points(half + 3 * y, 1, full + EDGE * y, 1);
      float *place = out + ((n / PANEL) * in + c) * PANEL + n % PANEL;
      for (int p = 0; p < PLACES; p++) store(place + p * in * columns, full[p]);
    }
}

/* ---- Products ---- */

/* So many rows of A, a number that the compiler knows, times a panel, plus bias, plus what is there
   where `onto` says so. With four rows all sums stay in the 16 registers of x86. */
INLINE void tile(const int rows, float *out, int out_stride, const float *a, int a_stride,
                 const float *panel, int depth, int columns, const float *bias, int onto) {
  f4 left[ROWS], right[ROWS];
  for (int r = 0; r < rows; r++) {
    left[r] = bias ? load(bias) : splat(0);
    right[r] = bias ? load(bias + LANES) : splat(0);
  }
  for (int k = 0; k < depth; k++, panel += PANEL) {
    f4 b0 = load(panel), b1 = load(panel + LANES);
    for (int r = 0; r < rows; r++) {
      f4 x = wasm_v128_load32_splat(a + r * a_stride + k);
      left[r] = madd(x, b0, left[r]);
      right[r] = madd(x, b1, right[r]);
    }
  }
  for (int r = 0; r < rows; r++, out += out_stride) {
    if (columns >= PANEL) {
      store(out, onto ? add(left[r], load(out)) : left[r]);
      store(out + LANES, onto ? add(right[r], load(out + LANES)) : right[r]);
      continue;
    }
    float row[PANEL];
    store(row, left[r]);
    store(row + LANES, right[r]);
    for (int n = 0; n < columns; n++) out[n] = onto ? out[n] + row[n] : row[n];
  }
}

/* out (rows × columns) = A (rows × depth) · B, plus a bias unless that is 0, plus what is there
   already where `onto` says so. Strides are of rows. */
EXPORT NOINLINE void multiply(float *out, int out_stride, const float *a, int a_stride, int rows,
                              const float *b, int depth, int columns, const float *bias,
                              int onto) {
  for (int n = 0; n < columns; n += PANEL, b += depth * PANEL) {
    const float *shift = bias ? bias + n : 0;
    for (int r = 0; r < rows; r += ROWS) {
      float *to = out + r * out_stride + n;
      const float *from = a + r * a_stride;
#define TILE_OF(count) \
  tile(count, to, out_stride, from, a_stride, b, depth, columns - n, shift, onto)
      switch (rows - r) {
        case 1: TILE_OF(1); break;
        case 2: TILE_OF(2); break;
        case 3: TILE_OF(3); break;
        default: TILE_OF(ROWS);
      }
#undef TILE_OF
    }
  }
}

/* A 3×3 convolution row by row, for few channels or pixels and for strides: `weights` of
   `pack_direct`. It is added to what is there already where `onto` says so. */
EXPORT void convolve(float *out, const float *image, int row, int height, int width, int in,
                     int columns, int stride, const float *weights, const float *bias, int onto) {
  int depth = 3 * in, panels = (columns + PANEL - 1) / PANEL;
  for (int y = 0; y < height; y++)
    for (int tap = 0; tap < 3; tap++)
      multiply(out + y * width * columns, columns, image + (y * stride + tap) * row, stride * in,
               width, weights + tap * panels * PANEL * depth, depth, columns, tap ? 0 : bias,
               tap | onto);
}

/* Six pixels in a row or column, at the points of F(4, 3). */
INLINE void pixels_at_points(const f4 *d, f4 *out, int step) {
  f4 four = splat(4), five = splat(5), two = splat(2);
  f4 a = sub(d[4], mul(four, d[2])), b = sub(d[3], mul(four, d[1]));
  f4 c = sub(d[4], d[2]), e = mul(two, sub(d[3], d[1]));
  out[0] = add(sub(mul(four, d[0]), mul(five, d[2])), d[4]);
  out[1 * step] = add(a, b);
  out[2 * step] = sub(a, b);
  out[3 * step] = add(c, e);
  out[4 * step] = sub(c, e);
  out[5 * step] = add(sub(mul(four, d[1]), mul(five, d[3])), d[5]);
}

/* From the products at the points to four pixels. */
INLINE void points_to_pixels(const f4 *m, f4 *out, int step) {
  f4 a = add(m[1], m[2]), b = sub(m[1], m[2]), c = add(m[3], m[4]), d = sub(m[3], m[4]);
  out[0] = add(add(m[0], a), c);
  out[1 * step] = madd(splat(2), d, b);
  out[2 * step] = madd(splat(4), c, a);
  out[3 * step] = add(madd(splat(8), d, b), m[5]);
}

/* How far apart are the numbers of two points: a cache line more than they take, since distances
   of 4096 bytes would all fall into the same few places of a cache. */
INLINE int apart(int tiles, int channels) { return tiles * channels + 16; }

/* The tiles from `first` on of an image, at their 36 points, each [tiles][channels]. */
INLINE void tiles_to_points(float *points, const float *image, int row, int first, int tiles,
                            int across, int channels) {
  int point = apart(tiles, channels);
  f4 half[PLACES], full[EDGE];
  for (int t = 0; t < tiles; t++) {
    int top = (first + t) / across * TILE, left = (first + t) % across * TILE;
    const float *corner = image + top * row + left * channels;
    for (int c = 0; c < channels; c += LANES) {
      for (int x = 0; x < EDGE; x++) {
        f4 column[EDGE];
        for (int y = 0; y < EDGE; y++) column[y] = load(corner + y * row + x * channels + c);
        pixels_at_points(column, half + x, EDGE);
      }
      for (int y = 0; y < EDGE; y++) {
        pixels_at_points(half + EDGE * y, full, 1);
        for (int x = 0; x < EDGE; x++)
          store(points + (EDGE * y + x) * point + t * channels + c, full[x]);
      }
    }
  }
}

/* The products of those points as pixels, plus a bias. */
INLINE void points_to_tiles(float *out, const float *products, int height, int width, int first,
                            int tiles, int across, int channels, const float *bias, int onto) {
  int point = apart(tiles, channels);
  f4 half[EDGE * TILE], full[TILE];
  for (int t = 0; t < tiles; t++) {
    int top = (first + t) / across * TILE, left = (first + t) % across * TILE;
    for (int n = 0; n < channels; n += LANES) {
      f4 shift = load(bias + n);
      for (int x = 0; x < EDGE; x++) {
        f4 column[EDGE];
        for (int y = 0; y < EDGE; y++)
          column[y] = load(products + (EDGE * y + x) * point + t * channels + n);
        points_to_pixels(column, half + x, EDGE);
      }
      for (int y = 0; y < TILE && top + y < height; y++) {
        points_to_pixels(half + EDGE * y, full, 1);
        for (int x = 0; x < TILE && left + x < width; x++) {
          float *to = out + ((top + y) * width + left + x) * channels + n;
          f4 value = add(full[x], shift);
          store(to, onto ? add(value, load(to)) : value);
        }
      }
    }
  }
}

/* How many floats `winograd` needs for itself. */
EXPORT int winograd_scratch(int in, int columns) {
  return PLACES * (apart(TOGETHER, in) + apart(TOGETHER, columns));
}

/* The same of stride 1 by F(4×4, 3×3), which takes a quarter of the products: `weights` of
   `pack_winograd`. `scratch` has room for `winograd_scratch` floats. */
EXPORT void winograd(float *out, const float *image, int row, int height, int width, int in,
                     int columns, const float *weights, const float *bias, int onto,
                     float *scratch) {
  int across = (width + TILE - 1) / TILE, all = (height + TILE - 1) / TILE * across;
  for (int first = 0; first < all; first += TOGETHER) {
    int tiles = all - first < TOGETHER ? all - first : TOGETHER;
    int from = apart(tiles, in), to = apart(tiles, columns);
    float *products = scratch + PLACES * from;
    tiles_to_points(scratch, image, row, first, tiles, across, in);
    for (int p = 0; p < PLACES; p++)
      multiply(products + p * to, columns, scratch + p * from, in, tiles,
               weights + p * in * columns, in, columns, 0, 0);
    points_to_tiles(out, products, height, width, first, tiles, across, columns, bias, onto);
  }
}

/* ---- Everything between ---- */

/* Group norm of an image plus `level`, a number a channel (0: none), then SiLU where `silu` says
   so. Rows of the result are `row` apart. `scratch`: 2 · channels. */
EXPORT void group_norm(float *out, int row, const float *image, int height, int width, int channels,
                       int groups, const float *level, const float *gain, const float *bias,
                       int silu, float *scratch) {
  int pixels = height * width, size = channels / groups;
  float *scale = scratch, *shift = scratch + channels;
  for (int c = 0; c < channels; c += LANES) {
    f4 extra = level ? load(level + c) : splat(0), sum = splat(0), square = splat(0);
    for (int p = 0; p < pixels; p++) {
      f4 x = add(load(image + p * channels + c), extra);
      sum = add(sum, x);
      square = madd(x, x, square);
    }
    store(scale + c, sum);
    store(shift + c, square);
  }
  for (int first = 0; first < channels; first += size) {
    float sum = 0, square = 0;
    for (int c = first; c < first + size; c++) sum += scale[c], square += shift[c];
    float mean = sum / (size * pixels), variance = square / (size * pixels) - mean * mean;
    float inverse = 1 / __builtin_sqrtf((variance > 0 ? variance : 0) + 1e-5f);
    for (int c = first; c < first + size; c++) {
      scale[c] = gain[c] * inverse;
      shift[c] = bias[c] + ((level ? level[c] : 0) - mean) * scale[c];
    }
  }
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++, image += channels)
      for (int c = 0; c < channels; c += LANES) {
        f4 value = madd(load(image + c), load(scale + c), load(shift + c));
        store(out + y * row + x * channels + c, silu ? sigmoid_times(value) : value);
      }
}

/* Copy an image into rows that are `row` apart and pixels that are `pixel` apart: into a frame, or
   beside other channels. */
EXPORT void place(float *out, int row, int pixel, const float *image, int height, int width,
                  int channels) {
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < channels; c++) out[y * row + x * pixel + c] = *image++;
}

/* Twice the height and width by nearest neighbour; the rows of the result are `row` apart. */
EXPORT void upsample(float *out, int row, const float *image, int height, int width, int channels) {
  for (int y = 0; y < 2 * height; y++)
    for (int x = 0; x < 2 * width; x++)
      for (int c = 0; c < channels; c += LANES)
        store(out + y * row + x * channels + c,
              load(image + (y / 2 * width + x / 2) * channels + c));
}

/* Half the height and width by averaging. */
EXPORT void average(float *out, const float *image, int height, int width, int channels) {
  int row = width * channels;
  for (int y = 0; y < height; y += 2)
    for (int x = 0; x < width; x += 2)
      for (int c = 0; c < channels; c += LANES, out += LANES) {
        const float *from = image + y * row + x * channels + c;
        f4 upper = add(load(from), load(from + channels));
        f4 lower = add(load(from + row), load(from + row + channels));
        store(out, mul(splat(.25f), add(upper, lower)));
      }
}

/* Rows of scores that `attend` computes at a time, and the room of a row. */
enum { QUERIES = 16 };
INLINE int whole(int columns) { return (columns + PANEL - 1) / PANEL * PANEL; }

/* Number of floats of scratch memory that `attend` needs. */
EXPORT int attend_scratch(int pixels, int channels, int heads) {
  int width = channels / heads;
  return whole(pixels) * (width + QUERIES) + pixels * whole(width);
}

/* e^x of each number less the largest one, so scaled that their sum is 1. The row goes on to a
   multiple of 4. */
INLINE void softmax(float *row, int count, float scale) {
  float highest = -__builtin_inff(), sum = 0;
  for (int j = 0; j < count; j++)
    if (row[j] > highest) highest = row[j];
  for (int j = 0; j < count; j += LANES)
    store(row + j, exponential(mul(sub(load(row + j), splat(highest)), splat(scale))));
  for (int j = 0; j < count; j++) sum += row[j];
  for (int j = 0; j < count; j += LANES) store(row + j, mul(load(row + j), splat(1 / sum)));
}

/* Softmax attention over pixels. A pixel of `qkv` has the channels of q, then of k, then of v, each
   the heads in turn. `scratch` has room for `attend_scratch` floats. */
EXPORT void attend(float *out, const float *qkv, int pixels, int channels, int heads,
                   float *scratch) {
  int width = channels / heads, stride = 3 * channels, row = whole(pixels);
  float *keys = scratch, *values = keys + row * width, *scores = values + pixels * whole(width);
  for (int head = 0; head < channels; head += width) {
    const float *q = qkv + head, *k = q + channels, *v = k + channels;
    pack(keys, k, width, pixels, 1, stride);
    pack(values, v, pixels, width, stride, 1);
    for (int i = 0; i < pixels; i += QUERIES) {
      int rows = pixels - i < QUERIES ? pixels - i : QUERIES;
      multiply(scores, row, q + i * stride, stride, rows, keys, width, pixels, 0, 0);
      for (int r = 0; r < rows; r++)
        softmax(scores + r * row, pixels, 1 / __builtin_sqrtf(width));
      multiply(out + i * channels + head, channels, scores, row, rows, values, pixels, width, 0, 0);
    }
  }
}

/* Layer norm of `count` numbers, a multiple of 4. */
EXPORT void layer_norm(float *out, const float *x, const float *gain, const float *bias,
                       int count) {
  f4 sum = splat(0), square = splat(0);
  for (int i = 0; i < count; i += LANES) sum = add(sum, load(x + i));
  f4 mean = splat(total(sum) / count);
  for (int i = 0; i < count; i += LANES) {
    f4 away = sub(load(x + i), mean);
    square = madd(away, away, square);
  }
  f4 inverse = splat(1 / __builtin_sqrtf(total(square) / count + 1e-5f));
  for (int i = 0; i < count; i += LANES) {
    f4 value = mul(sub(load(x + i), mean), inverse);
    store(out + i, madd(value, load(gain + i), load(bias + i)));
  }
}

/* SiLU of `count` numbers, a multiple of 4. */
EXPORT void silu(float *out, const float *x, int count) {
  for (int i = 0; i < count; i += LANES) store(out + i, sigmoid_times(load(x + i)));
}

/* ---- Random numbers ---- */

INLINE uint64_t high_product(uint64_t a, uint64_t b) {
  uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
  uint64_t middle = ah * bl + (al * bl >> 32), other = al * bh + (uint32_t)middle;
  return ah * bh + (middle >> 32) + (other >> 32);
}

/* Philox4x64-10 (Salmon et al. 2011): `blocks` times four random words, of the counters
   (first, 0, c2, c3), (first + 1, 0, c2, c3), … */
EXPORT void philox(uint64_t *out, int blocks, uint64_t key0, uint64_t key1, uint64_t first,
                   uint64_t c2, uint64_t c3) {
  const uint64_t m0 = 0xD2E7470EE14C6C93, m1 = 0xCA5A826395121157;
  for (int block = 0; block < blocks; block++, out += 4) {
    uint64_t x0 = first + block, x1 = 0, x2 = c2, x3 = c3, k0 = key0, k1 = key1;
    for (int round = 0; round < 10; round++) {
      uint64_t high0 = high_product(m0, x0), high1 = high_product(m1, x2);
      uint64_t low0 = m0 * x0, low1 = m1 * x2;
      x0 = high1 ^ x1 ^ k0, x1 = low1, x2 = high0 ^ x3 ^ k1, x3 = low0;
      k0 += 0x9E3779B97F4A7C15, k1 += 0xBB67AE8584CAA73B;
    }
    out[0] = x0, out[1] = x1, out[2] = x2, out[3] = x3;
  }
}
