using System.Diagnostics.CodeAnalysis;

namespace RepVgg.Runtime.Simd;

/// <summary>
/// Vector operations of integer convolutions. A lane is a sum of 32 bits; a lane of inputs and of weights consists of four bytes or of two 16-bit words,
/// whose products <see cref="IMultiplyAddLanes{TVector}.MultiplyAdd"/> adds to it. All sums are exact modulo 2^32: no product is limited (saturated).
/// </summary>
/// <typeparam name="TVector">The vector type.</typeparam>
internal unsafe interface IIntegerLanes<TVector> : IMultiplyAddLanes<TVector>
    where TVector : struct
{
    /// <summary>Bytes of one element of an activation map and of one weight: 1 or 2. Elements of two bytes hold the numbers 0 to 255, too.</summary>
    static abstract int ElementBytes { get; }

    /// <summary>What <see cref="IMultiplyAddLanes{TVector}.MultiplyAdd"/> subtracts from each element of a map: 128 if the processor multiplies signed bytes, otherwise 0.</summary>
    static abstract int InputOffset { get; }

    /// <summary>a + b for each lane, as integers.</summary>
    static abstract TVector AddIntegers(TVector a, TVector b);

    /// <summary>Loads Width consecutive elements of a map. Lane i is source[i] - <paramref name="zeroPoint"/>.</summary>
    static abstract TVector LoadElements(void* source, int zeroPoint);

    /// <summary>
    /// Stores Width elements: target[i] = round(sums[i] * multipliers[i]) + zeroPoint, limited to 0 to 255; ties are rounded to even. The
    /// sum is converted to a 32-bit float first, as ONNX Runtime does.
    /// </summary>
    /// <param name="target">Receives the elements.</param>
    /// <param name="sums">The sums.</param>
    /// <param name="multipliers">Width multipliers.</param>
    /// <param name="zeroPoint">The zero point, 0 to 255.</param>
    static abstract void StoreQuantized(void* target, TVector sums, float* multipliers, int zeroPoint);

    /// <summary>Stores Width elements: target[i] = round(values[i] / scale) + zeroPoint, limited to 0 to 255; ties are rounded to even.</summary>
    static abstract void Quantize(void* target, float* values, float scale, int zeroPoint);

    /// <summary>Stores Width floats: target[i] = sums[i] * multipliers[i].</summary>
    static abstract void StoreScaled(float* target, TVector sums, float* multipliers);

    /// <summary>Loads 2 * Width consecutive elements of a map as words.</summary>
    static abstract TVector LoadWords(void* source);
}

/// <summary>
/// Vector operations of Winograd convolutions of integers, whose inputs and weights are words; the elements are those of <see cref="IIntegerLanes{TVector}"/> with
/// <see cref="IIntegerLanes{TVector}.ElementBytes"/> 2. The operations on words are modulo 2^16, those on integers modulo 2^32.
/// </summary>
/// <typeparam name="TVector">The vector type.</typeparam>
internal unsafe interface IWordLanes<TVector> : IIntegerLanes<TVector>
    where TVector : struct
{
    /// <summary>Loads 2 * Width consecutive signed bytes as words.</summary>
    static abstract TVector LoadSignedBytes(sbyte* source);

    /// <summary>a + b for each word.</summary>
    static abstract TVector AddWords(TVector a, TVector b);

    /// <summary>a - b for each word.</summary>
    static abstract TVector SubtractWords(TVector a, TVector b);

    /// <summary>a * 2^count for each word.</summary>
    static abstract TVector ShiftWords(TVector a, [ConstantExpected] byte count);

    /// <summary>a - b for each lane, as integers.</summary>
    static abstract TVector SubtractIntegers(TVector a, TVector b);

    /// <summary>a * 2^count for each lane, as integers.</summary>
    static abstract TVector ShiftIntegers(TVector a, [ConstantExpected] byte count);

    /// <summary>a * factor / 2^count for each lane, as integers; the product is modulo 2^32, and the quotient is rounded down.</summary>
    static abstract TVector MultiplyAndShiftRight(TVector a, int factor, [ConstantExpected] byte count);
}
