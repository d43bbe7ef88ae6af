// The discrete Fourier transform, for lengths that are powers of two.

/**
 * Transforms a complex signal in place: X_k = Σ x_n exp(−2πi kn/N), or with `inverse` the way back, divided by N.
 *
 * @param {Float64Array} re real parts, a power of two of them
 * @param {Float64Array} im imaginary parts, as many
 * @param {boolean} [inverse]
 */
export function fft(re, im, inverse = false) {
  const n = re.length;
  if (n === 0 || (n & (n - 1)) !== 0 || im.length !== n) throw new RangeError(`A length is a power of two, not ${n}.`);
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  const sign = inverse ? 1 : -1;
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      // Each factor on its own, not by a product of the last one: rounding then does not add up.
      const angle = (sign * 2 * Math.PI * k) / size;
      const c = Math.cos(angle);
      const s = Math.sin(angle);
      for (let a = k; a < n; a += size) {
        const b = a + half;
        const x = re[b] * c - im[b] * s;
        const y = re[b] * s + im[b] * c;
        re[b] = re[a] - x;
        im[b] = im[a] - y;
        re[a] += x;
        im[a] += y;
      }
    }
  }
  if (inverse) {
    for (let i = 0; i < n; i++) {
      re[i] /= n;
      im[i] /= n;
    }
  }
}

/**
 * The smallest power of two that is not below n.
 *
 * @param {number} n
 */
export function powerOfTwo(n) {
  let size = 1;
  while (size < n) size *= 2;
  return size;
}
