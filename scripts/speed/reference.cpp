// The yardstick of kernel.py: the statistics of two float32 tensors as one writes them by
// hand in C++, block by block, with the vectors left to the compiler and a std::thread a core.
// Blocks with inf or nan are left out; nothing else is.
//
// g++ -O3 -march=native -fno-math-errno -fno-trapping-math -fassociative-math -fno-signed-zeros
//     -ffinite-math-only -shared -fPIC -pthread reference.cpp
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

namespace {

constexpr int kBlock = 1024;
constexpr int kSums = 20;

struct Stats {
  double gg = 0, mm = 0, gm = 0, dd = 0, golden_total = 0, my_total = 0, ad = 0;
  double relative_total = 0, above_ad = 0;
  float golden_min = INFINITY, golden_max = -INFINITY, my_min = INFINITY, my_max = -INFINITY;
  double difference_max = -1;
  float relative_max = 0, above_max = 0;
  int64_t worst = -1, equal = 0, mismatched = 0, above = 0, one = 0, five = 0, nonfinite = 0;
  double golden_peak = -INFINITY, my_peak = -INFINITY, golden_weight = 0, my_weight = 0, cross = 0;
};

// exp(x) for x in [-700, 0], from a Taylor polynomial of degree 7.
inline double exp_below(double x) {
  double scaled = x * 1.4426950408889634;
  double k = std::nearbyint(scaled);
  double r = x - k * 0.6931471805599453;
  double r2 = r * r;
  double low = (1.0 + r) + r2 * (0.5 + r * (1.0 / 6));
  double high = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040));
  double p = low + (r2 * r2) * high;
  double shifted = k + 6755399441055744.0;
  int64_t bits, power;
  std::memcpy(&bits, &shifted, 8);
  std::memcpy(&power, &p, 8);
  power += bits << 52;
  std::memcpy(&p, &power, 8);
  return p;
}

void kl_block(const float* g, const float* m, int n, double gp, double mp, Stats& s) {
  double gw = 0, mw = 0, cross = 0;
  for (int i = 0; i < n; i++) {
    double a = std::max(double(g[i]) - gp, -700.0), b = double(m[i]) - mp;
    double u = exp_below(a);
    gw += u;
    cross += u * (a - b);
  }
  for (int i = 0; i < n; i++) mw += exp_below(std::max(double(m[i]) - mp, -700.0));
  s.golden_weight += gw;
  s.my_weight += mw;
  s.cross += cross;
}

void block(const float* g, const float* m, int n, int64_t first, float eps, float rtol, float atol,
           bool kl, bool relative, Stats& s) {
  float gmin = INFINITY, gmax = -INFINITY, mmin = INFINITY, mmax = -INFINITY, dmax = 0;
  int equal = 0, mismatched = 0;
  uint32_t bad = 0;
  for (int i = 0; i < n; i++) {
    uint32_t a, b;
    std::memcpy(&a, g + i, 4);
    std::memcpy(&b, m + i, 4);
    bad = std::max(bad, std::max(a & 0x7fffffffu, b & 0x7fffffffu));
    gmin = g[i] < gmin ? g[i] : gmin;
    gmax = g[i] > gmax ? g[i] : gmax;
    mmin = m[i] < mmin ? m[i] : mmin;
    mmax = m[i] > mmax ? m[i] : mmax;
  }
  if (bad >= 0x7f800000u) {
    s.nonfinite++;
    return;
  }
  for (int i = 0; i < n; i++) {
    float d = std::fabs(m[i] - g[i]);
    dmax = d > dmax ? d : dmax;
    equal += g[i] == m[i];
    mismatched += d > atol + rtol * std::fabs(g[i]);
  }
  double gg = 0, mm = 0, gm = 0, dd = 0, gt = 0, mt = 0, ad = 0;
  for (int i = 0; i < n; i++) {
    double a = g[i], b = m[i], d = b - a;
    gg += a * a; mm += b * b; gm += a * b; dd += d * d;
    gt += a; mt += b; ad += std::fabs(d);
  }
  s.gg += gg; s.mm += mm; s.gm += gm; s.dd += dd;
  s.golden_total += gt; s.my_total += mt; s.ad += ad;
  s.golden_min = std::min(s.golden_min, gmin);
  s.golden_max = std::max(s.golden_max, gmax);
  s.my_min = std::min(s.my_min, mmin);
  s.my_max = std::max(s.my_max, mmax);
  s.equal += equal;
  s.mismatched += mismatched;
  if (dmax > s.difference_max) {
    for (int i = 0; i < n; i++)
      if (std::fabs(m[i] - g[i]) == dmax) {
        s.difference_max = dmax;
        s.worst = first + i;
        break;
      }
  }
  if (relative) {
    alignas(64) float ratios[kBlock], aboves[kBlock];
    float rmax = 0, amax = 0;
    int above = 0, one = 0, five = 0;
    for (int i = 0; i < n; i++) {
      float a = std::fabs(g[i]);
      bool in = a > eps;
      float d = in ? std::fabs(m[i] - g[i]) : 0.0f;
      float r = d / (in ? a : 1.0f);
      ratios[i] = r;
      aboves[i] = d;
      rmax = r > rmax ? r : rmax;
      amax = d > amax ? d : amax;
      above += in;
      one += r < 0.001f;
      five += r < 0.005f;
    }
    double rt = 0, at = 0;
    for (int i = 0; i < n; i++) rt += ratios[i], at += aboves[i];
    s.relative_total += rt;
    s.above_ad += at;
    s.relative_max = std::max(s.relative_max, rmax);
    s.above_max = std::max(s.above_max, amax);
    s.above += above;
    s.one += one - (n - above);
    s.five += five - (n - above);
  }
  if (kl) {
    if (gmax > s.golden_peak || mmax > s.my_peak) {
      double gp = std::max<double>(gmax, s.golden_peak), mp = std::max<double>(mmax, s.my_peak);
      if (s.golden_weight > 0) {
        double dg = s.golden_peak - gp, dm = s.my_peak - mp;
        s.cross = std::exp(dg) * (s.cross + s.golden_weight * (dg - dm));
        s.golden_weight *= std::exp(dg);
        s.my_weight *= std::exp(dm);
      }
      s.golden_peak = gp;
      s.my_peak = mp;
    }
    kl_block(g, m, n, s.golden_peak, s.my_peak, s);
  }
}

void range(const float* g, const float* m, int64_t begin, int64_t end, float eps, float rtol,
           float atol, bool kl, bool relative, Stats* out) {
  Stats s;
  for (int64_t i = begin; i < end; i += kBlock)
    block(g + i, m + i, int(std::min<int64_t>(kBlock, end - i)), i, eps, rtol, atol, kl, relative, s);
  *out = s;
}

}  // namespace

extern "C" double compare(const float* g, const float* m, int64_t n, int threads, float eps,
                          float rtol, float atol, int kl, int relative, double* out) {
  std::vector<Stats> parts(threads);
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; t++)
    pool.emplace_back(range, g, m, n * t / threads, n * (t + 1) / threads, eps, rtol, atol,
                      kl != 0, relative != 0, &parts[t]);
  for (auto& t : pool) t.join();
  for (int i = 0; i < kSums; i++) out[i] = 0;
  double gp = -INFINITY, mp = -INFINITY;
  for (auto& s : parts) gp = std::max(gp, s.golden_peak), mp = std::max(mp, s.my_peak);
  double gw = 0, mw = 0, cross = 0;
  for (auto& s : parts) {
    out[0] += s.gg; out[1] += s.mm; out[2] += s.gm; out[3] += s.dd; out[4] += s.ad;
    out[5] += s.relative_total; out[6] += s.above_ad; out[7] += double(s.mismatched);
    out[8] += double(s.one); out[9] += double(s.five); out[10] += double(s.equal);
    out[11] = std::max(out[11], s.difference_max);
    double dg = s.golden_peak - gp, dm = s.my_peak - mp;
    cross += std::exp(dg) * (s.cross + s.golden_weight * (dg - dm));
    gw += s.golden_weight * std::exp(dg);
    mw += s.my_weight * std::exp(dm);
  }
  return kl ? cross / gw - std::log(gw) + std::log(mw) : 0.0;
}
