using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace RepVgg.Runtime.Simd;

/// <summary>Eight lanes of four bytes, multiplied by AVX-VNNI's dot product of unsigned and signed bytes.</summary>
internal readonly unsafe struct ByteLanes256 : IIntegerLanes<Vector256<int>>
{
    public static bool IsSupported => AvxVnni.IsSupported;

    public static int Width => 8;

    public static int ElementBytes => 1;

    public static int InputOffset => 0;

    public static Vector256<int> Zero => Vector256<int>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Load(float* source) => Vector256.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* target, Vector256<int> value) => value.Store((int*)target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Broadcast(float value) => Vector256.Create(value).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Relu(Vector256<int> a) => Vector256.Max(a, Vector256<int>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> MultiplyAdd(Vector256<int> a, Vector256<int> b, Vector256<int> c) => AvxVnni.MultiplyWideningAndAdd(c, a.AsByte(), b.AsSByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> AddIntegers(Vector256<int> a, Vector256<int> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> LoadElements(void* source, int zeroPoint)
    {
        return Avx2.ConvertToVector256Int32((byte*)source) - Vector256.Create(zeroPoint);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreQuantized(void* target, Vector256<int> sums, float* multipliers, int zeroPoint) =>
        StoreBytes(target, Rounding.ToAtMost255(Vector256.ConvertToSingle(sums) * Vector256.Load(multipliers), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Quantize(void* target, float* values, float scale, int zeroPoint) =>
        StoreBytes(target, Rounding.ToAtMost255(Vector256.Load(values) / Vector256.Create(scale), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScaled(float* target, Vector256<int> sums, float* multipliers) => (Vector256.ConvertToSingle(sums) * Vector256.Load(multipliers)).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> LoadWords(void* source) => Avx2.ConvertToVector256Int16((byte*)source).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreBytes(void* target, Vector256<int> values)
    {
        var words = Sse2.PackSignedSaturate(values.GetLower(), values.GetUpper());
        Unsafe.WriteUnaligned(target, Sse2.PackUnsignedSaturate(words, words).AsUInt64().ToScalar());
    }
}

/// <summary>Sixteen lanes of four bytes, for the maps of Winograd convolutions in vectors of 512 bits; .NET has AVX-VNNI's dot product for 256 bits only.</summary>
internal readonly unsafe struct ByteLanes512 : IIntegerLanes<Vector512<int>>
{
    /// <summary>Whether the instructions can be used. Maps of floats must have as many lanes, which they do not where .NET avoids vectors of 512 bits.</summary>
    public static bool IsSupported => ByteLanes256.IsSupported && WordLanes512.IsSupported;

    public static int Width => 16;

    public static int ElementBytes => 1;

    public static int InputOffset => 0;

    public static Vector512<int> Zero => Vector512<int>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Load(float* source) => Vector512.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* target, Vector512<int> value) => value.Store((int*)target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Broadcast(float value) => Vector512.Create(value).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Relu(Vector512<int> a) => Vector512.Max(a, Vector512<int>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> MultiplyAdd(Vector512<int> a, Vector512<int> b, Vector512<int> c) => Vector512.Create(
        ByteLanes256.MultiplyAdd(a.GetLower(), b.GetLower(), c.GetLower()), ByteLanes256.MultiplyAdd(a.GetUpper(), b.GetUpper(), c.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> AddIntegers(Vector512<int> a, Vector512<int> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> LoadElements(void* source, int zeroPoint)
    {
        var bytes = Vector128.Load((byte*)source);
        var words = Vector256.Create(Vector128.WidenLower(bytes), Vector128.WidenUpper(bytes));
        return Vector512.Create(Vector256.WidenLower(words), Vector256.WidenUpper(words)).AsInt32() - Vector512.Create(zeroPoint);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreQuantized(void* target, Vector512<int> sums, float* multipliers, int zeroPoint) =>
        StoreBytes(target, Rounding.ToAtMost255(Vector512.ConvertToSingle(sums) * Vector512.Load(multipliers), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Quantize(void* target, float* values, float scale, int zeroPoint) =>
        StoreBytes(target, Rounding.ToAtMost255(Vector512.Load(values) / Vector512.Create(scale), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScaled(float* target, Vector512<int> sums, float* multipliers) => (Vector512.ConvertToSingle(sums) * Vector512.Load(multipliers)).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> LoadWords(void* source) => Avx512BW.ConvertToVector512Int16(Vector256.Load((byte*)source)).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreBytes(void* target, Vector512<int> values) =>
        Avx512F.ConvertToVector128ByteWithSaturation(Vector512.Max(values, Vector512<int>.Zero).AsUInt32()).Store((byte*)target);
}

/// <summary>Four lanes of four bytes, multiplied by the dot product of signed bytes: NEON's where the processor has it, otherwise a portable equivalent.</summary>
/// <remarks>Elements 0 to 255 are read as -128 to 127, by inverting their highest bit.</remarks>
internal readonly unsafe struct SignedByteLanes128 : IIntegerLanes<Vector128<int>>
{
    /// <summary>Whether the processor has the dot product.</summary>
    public static bool IsSupported => Dp.IsSupported;

    public static int Width => 4;

    public static int ElementBytes => 1;

    public static int InputOffset => 128;

    public static Vector128<int> Zero => Vector128<int>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Load(float* source) => Vector128.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* target, Vector128<int> value) => value.Store((int*)target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Broadcast(float value) => Vector128.Create(BitConverter.SingleToInt32Bits(value) ^ unchecked((int)0x80808080));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Relu(Vector128<int> a) => Vector128.Max(a, Vector128<int>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> MultiplyAdd(Vector128<int> a, Vector128<int> b, Vector128<int> c)
    {
        if (Dp.IsSupported)
            return Dp.DotProduct(c, a.AsSByte(), b.AsSByte());
        // The even and the odd bytes as words: even bytes are shifted to the upper half of a word and back.
        var (evenA, oddA) = (Vector128.ShiftRightArithmetic(Vector128.ShiftLeft(a.AsInt16(), 8), 8), Vector128.ShiftRightArithmetic(a.AsInt16(), 8));
        var (evenB, oddB) = (Vector128.ShiftRightArithmetic(Vector128.ShiftLeft(b.AsInt16(), 8), 8), Vector128.ShiftRightArithmetic(b.AsInt16(), 8));
        return WordLanes128.MultiplyAdd(oddA.AsInt32(), oddB.AsInt32(), WordLanes128.MultiplyAdd(evenA.AsInt32(), evenB.AsInt32(), c));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> AddIntegers(Vector128<int> a, Vector128<int> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> LoadElements(void* source, int zeroPoint)
    {
        var words = Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<uint>(source)).AsByte());
        return Vector128.WidenLower(words).AsInt32() - Vector128.Create(zeroPoint);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreQuantized(void* target, Vector128<int> sums, float* multipliers, int zeroPoint) =>
        StoreBytes(target, Rounding.ToElements(Vector128.ConvertToSingle(sums) * Vector128.Load(multipliers), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Quantize(void* target, float* values, float scale, int zeroPoint) =>
        StoreBytes(target, Rounding.ToElements(Vector128.Load(values) / Vector128.Create(scale), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScaled(float* target, Vector128<int> sums, float* multipliers) => (Vector128.ConvertToSingle(sums) * Vector128.Load(multipliers)).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> LoadWords(void* source) => Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(source)).AsByte()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreBytes(void* target, Vector128<int> values)
    {
        var words = Vector128.Narrow(values, values).AsUInt16();
        Unsafe.WriteUnaligned(target, Vector128.Narrow(words, words).AsUInt32().ToScalar());
    }
}

/// <summary>Four lanes of two words, for SSE2, NEON, and the software fallback.</summary>
internal readonly unsafe struct WordLanes128 : IWordLanes<Vector128<int>>
{
    public static int Width => 4;

    public static int ElementBytes => 2;

    public static int InputOffset => 0;

    public static Vector128<int> Zero => Vector128<int>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Load(float* source) => Vector128.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* target, Vector128<int> value) => value.Store((int*)target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Broadcast(float value) => Vector128.Create(BitConverter.SingleToInt32Bits(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Relu(Vector128<int> a) => Vector128.Max(a, Vector128<int>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> MultiplyAdd(Vector128<int> a, Vector128<int> b, Vector128<int> c)
    {
        if (Sse2.IsSupported)
            return c + Sse2.MultiplyAddAdjacent(a.AsInt16(), b.AsInt16());
        if (AdvSimd.Arm64.IsSupported)
        {
            return c + AdvSimd.Arm64.AddPairwise(
                AdvSimd.MultiplyWideningLower(a.AsInt16().GetLower(), b.AsInt16().GetLower()), AdvSimd.MultiplyWideningUpper(a.AsInt16(), b.AsInt16()));
        }
        var low = Vector128.ShiftRightArithmetic(Vector128.ShiftLeft(a, 16), 16) * Vector128.ShiftRightArithmetic(Vector128.ShiftLeft(b, 16), 16);
        return c + low + (Vector128.ShiftRightArithmetic(a, 16) * Vector128.ShiftRightArithmetic(b, 16));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> AddIntegers(Vector128<int> a, Vector128<int> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> LoadElements(void* source, int zeroPoint) =>
        Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(source)).AsUInt16()).AsInt32() - Vector128.Create(zeroPoint);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreQuantized(void* target, Vector128<int> sums, float* multipliers, int zeroPoint) =>
        StoreWords(target, Rounding.ToElements(Vector128.ConvertToSingle(sums) * Vector128.Load(multipliers), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Quantize(void* target, float* values, float scale, int zeroPoint) =>
        StoreWords(target, Rounding.ToElements(Vector128.Load(values) / Vector128.Create(scale), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScaled(float* target, Vector128<int> sums, float* multipliers) => (Vector128.ConvertToSingle(sums) * Vector128.Load(multipliers)).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> LoadWords(void* source) => Vector128.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> AddWords(Vector128<int> a, Vector128<int> b) => (a.AsInt16() + b.AsInt16()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> SubtractWords(Vector128<int> a, Vector128<int> b) => (a.AsInt16() - b.AsInt16()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> ShiftWords(Vector128<int> a, [ConstantExpected] byte count) => Vector128.ShiftLeft(a.AsInt16(), count).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> SubtractIntegers(Vector128<int> a, Vector128<int> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> ShiftIntegers(Vector128<int> a, [ConstantExpected] byte count) => Vector128.ShiftLeft(a, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> MultiplyAndShiftRight(Vector128<int> a, int factor, [ConstantExpected] byte count) => Vector128.ShiftRightArithmetic(a * Vector128.Create(factor), count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> LoadSignedBytes(sbyte* source) =>
        Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(source)).AsSByte()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreWords(void* target, Vector128<int> values) =>
        Unsafe.WriteUnaligned(target, Vector128.Narrow(values, values).AsUInt64().ToScalar());
}

/// <summary>Eight lanes of two words, for AVX2.</summary>
internal readonly unsafe struct WordLanes256 : IWordLanes<Vector256<int>>
{
    public static bool IsSupported => Avx2.IsSupported;

    public static int Width => 8;

    public static int ElementBytes => 2;

    public static int InputOffset => 0;

    public static Vector256<int> Zero => Vector256<int>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Load(float* source) => Vector256.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* target, Vector256<int> value) => value.Store((int*)target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Broadcast(float value) => Vector256.Create(value).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Relu(Vector256<int> a) => Vector256.Max(a, Vector256<int>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> MultiplyAdd(Vector256<int> a, Vector256<int> b, Vector256<int> c) => c + Avx2.MultiplyAddAdjacent(a.AsInt16(), b.AsInt16());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> AddIntegers(Vector256<int> a, Vector256<int> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> LoadElements(void* source, int zeroPoint)
    {
        var words = Vector128.Load((ushort*)source);
        return Vector256.Create(Vector128.WidenLower(words), Vector128.WidenUpper(words)).AsInt32() - Vector256.Create(zeroPoint);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreQuantized(void* target, Vector256<int> sums, float* multipliers, int zeroPoint) =>
        StoreWords(target, Rounding.ToAtMost255(Vector256.ConvertToSingle(sums) * Vector256.Load(multipliers), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Quantize(void* target, float* values, float scale, int zeroPoint) =>
        StoreWords(target, Rounding.ToAtMost255(Vector256.Load(values) / Vector256.Create(scale), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScaled(float* target, Vector256<int> sums, float* multipliers) => (Vector256.ConvertToSingle(sums) * Vector256.Load(multipliers)).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> LoadWords(void* source) => Vector256.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> AddWords(Vector256<int> a, Vector256<int> b) => (a.AsInt16() + b.AsInt16()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> SubtractWords(Vector256<int> a, Vector256<int> b) => (a.AsInt16() - b.AsInt16()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> ShiftWords(Vector256<int> a, [ConstantExpected] byte count) => Vector256.ShiftLeft(a.AsInt16(), count).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> SubtractIntegers(Vector256<int> a, Vector256<int> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> ShiftIntegers(Vector256<int> a, [ConstantExpected] byte count) => Vector256.ShiftLeft(a, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> MultiplyAndShiftRight(Vector256<int> a, int factor, [ConstantExpected] byte count) => Vector256.ShiftRightArithmetic(a * Vector256.Create(factor), count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> LoadSignedBytes(sbyte* source) => Avx2.ConvertToVector256Int16(source).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreWords(void* target, Vector256<int> values) => Sse41.PackUnsignedSaturate(values.GetLower(), values.GetUpper()).Store((ushort*)target);
}

/// <summary>Eight lanes of two words, multiplied by AVX-VNNI's dot product of words; everything else is that of <see cref="WordLanes256"/>.</summary>
internal readonly unsafe struct DotWordLanes256 : IWordLanes<Vector256<int>>
{
    public static int Width => WordLanes256.Width;

    public static int ElementBytes => WordLanes256.ElementBytes;

    public static int InputOffset => WordLanes256.InputOffset;

    public static Vector256<int> Zero => WordLanes256.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> MultiplyAdd(Vector256<int> a, Vector256<int> b, Vector256<int> c) => AvxVnni.MultiplyWideningAndAdd(c, a.AsInt16(), b.AsInt16());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Load(float* source) => WordLanes256.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* target, Vector256<int> value) => WordLanes256.Store(target, value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Broadcast(float value) => WordLanes256.Broadcast(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Relu(Vector256<int> a) => WordLanes256.Relu(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> AddIntegers(Vector256<int> a, Vector256<int> b) => WordLanes256.AddIntegers(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> LoadElements(void* source, int zeroPoint) => WordLanes256.LoadElements(source, zeroPoint);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreQuantized(void* target, Vector256<int> sums, float* multipliers, int zeroPoint) => WordLanes256.StoreQuantized(target, sums, multipliers, zeroPoint);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Quantize(void* target, float* values, float scale, int zeroPoint) => WordLanes256.Quantize(target, values, scale, zeroPoint);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScaled(float* target, Vector256<int> sums, float* multipliers) => WordLanes256.StoreScaled(target, sums, multipliers);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> LoadWords(void* source) => WordLanes256.LoadWords(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> LoadSignedBytes(sbyte* source) => WordLanes256.LoadSignedBytes(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> AddWords(Vector256<int> a, Vector256<int> b) => WordLanes256.AddWords(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> SubtractWords(Vector256<int> a, Vector256<int> b) => WordLanes256.SubtractWords(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> ShiftWords(Vector256<int> a, [ConstantExpected] byte count) => WordLanes256.ShiftWords(a, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> SubtractIntegers(Vector256<int> a, Vector256<int> b) => WordLanes256.SubtractIntegers(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> ShiftIntegers(Vector256<int> a, [ConstantExpected] byte count) => WordLanes256.ShiftIntegers(a, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> MultiplyAndShiftRight(Vector256<int> a, int factor, [ConstantExpected] byte count) => WordLanes256.MultiplyAndShiftRight(a, factor, count);
}

/// <summary>Sixteen lanes of two words, for AVX-512.</summary>
internal readonly unsafe struct WordLanes512 : IWordLanes<Vector512<int>>
{
    /// <inheritdoc cref="ByteLanes512.IsSupported"/>
    public static bool IsSupported => Avx512BW.IsSupported && VectorWidths.Widest == VectorWidth.Bits512;

    public static int Width => 16;

    public static int ElementBytes => 2;

    public static int InputOffset => 0;

    public static Vector512<int> Zero => Vector512<int>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Load(float* source) => Vector512.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* target, Vector512<int> value) => value.Store((int*)target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Broadcast(float value) => Vector512.Create(value).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Relu(Vector512<int> a) => Vector512.Max(a, Vector512<int>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> MultiplyAdd(Vector512<int> a, Vector512<int> b, Vector512<int> c) => c + Avx512BW.MultiplyAddAdjacent(a.AsInt16(), b.AsInt16());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> AddIntegers(Vector512<int> a, Vector512<int> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> LoadElements(void* source, int zeroPoint)
    {
        var words = Vector256.Load((ushort*)source);
        return Vector512.Create(Vector256.WidenLower(words), Vector256.WidenUpper(words)).AsInt32() - Vector512.Create(zeroPoint);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreQuantized(void* target, Vector512<int> sums, float* multipliers, int zeroPoint) =>
        StoreWords(target, Rounding.ToAtMost255(Vector512.ConvertToSingle(sums) * Vector512.Load(multipliers), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Quantize(void* target, float* values, float scale, int zeroPoint) =>
        StoreWords(target, Rounding.ToAtMost255(Vector512.Load(values) / Vector512.Create(scale), zeroPoint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreScaled(float* target, Vector512<int> sums, float* multipliers) => (Vector512.ConvertToSingle(sums) * Vector512.Load(multipliers)).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> LoadWords(void* source) => Vector512.Load((int*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> AddWords(Vector512<int> a, Vector512<int> b) => (a.AsInt16() + b.AsInt16()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> SubtractWords(Vector512<int> a, Vector512<int> b) => (a.AsInt16() - b.AsInt16()).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> ShiftWords(Vector512<int> a, [ConstantExpected] byte count) => Vector512.ShiftLeft(a.AsInt16(), count).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> SubtractIntegers(Vector512<int> a, Vector512<int> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> ShiftIntegers(Vector512<int> a, [ConstantExpected] byte count) => Vector512.ShiftLeft(a, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> MultiplyAndShiftRight(Vector512<int> a, int factor, [ConstantExpected] byte count) => Vector512.ShiftRightArithmetic(a * Vector512.Create(factor), count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> LoadSignedBytes(sbyte* source) => Avx512BW.ConvertToVector512Int16(Vector256.Load(source)).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreWords(void* target, Vector512<int> values) => Avx512F.ConvertToVector256UInt16WithSaturation(Vector512.Max(values, Vector512<int>.Zero).AsUInt32()).Store((ushort*)target);
}

/// <summary>Rounds numbers to the elements of a quantized map. Values are limited before they are converted, because numbers beyond 2^31 cannot be.</summary>
internal static class Rounding
{
    /// <summary>round(value) + zeroPoint, limited to 0 to 255; ties are rounded to even.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> ToElements(Vector128<float> values, int zeroPoint)
    {
        values = Vector128.MinNative(Vector128.MaxNative(values, Vector128.Create((float)-zeroPoint)), Vector128.Create((float)(255 - zeroPoint)));
        return Vector128.ConvertToInt32Native(Vector128.Round(values)) + Vector128.Create(zeroPoint);
    }

    /// <inheritdoc cref="ToElements(Vector128{float}, int)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> ToElements(Vector256<float> values, int zeroPoint)
    {
        values = Vector256.MinNative(Vector256.MaxNative(values, Vector256.Create((float)-zeroPoint)), Vector256.Create((float)(255 - zeroPoint)));
        return Vector256.ConvertToInt32Native(Vector256.Round(values)) + Vector256.Create(zeroPoint);
    }

    /// <inheritdoc cref="ToElements(Vector128{float}, int)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> ToElements(Vector512<float> values, int zeroPoint)
    {
        values = Vector512.MinNative(Vector512.MaxNative(values, Vector512.Create((float)-zeroPoint)), Vector512.Create((float)(255 - zeroPoint)));
        return Vector512.ConvertToInt32Native(Vector512.Round(values)) + Vector512.Create(zeroPoint);
    }

    /// <summary>round(value) + zeroPoint, limited to at most 255; ties are rounded to even. What packs the results limits them to at least 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> ToAtMost255(Vector256<float> values, int zeroPoint)
    {
        // Numbers below -2^31 are converted to -2^31. The conversion rounds to the nearest, as the processor does unless a program changes its mode.
        values = Avx.Min(values, Vector256.Create((float)(255 - zeroPoint)));
        return Avx.ConvertToVector256Int32(values) + Vector256.Create(zeroPoint);
    }

    /// <inheritdoc cref="ToAtMost255(Vector256{float}, int)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> ToAtMost255(Vector512<float> values, int zeroPoint)
    {
        values = Avx512F.Min(values, Vector512.Create((float)(255 - zeroPoint)));
        return Avx512F.ConvertToVector512Int32(values) + Vector512.Create(zeroPoint);
    }
}
