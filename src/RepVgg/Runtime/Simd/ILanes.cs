namespace RepVgg.Runtime.Simd;

/// <summary>The vector operations of GEMM micro-kernels, on lanes of 32 bits: floats, or sums of products of narrower integers.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
internal unsafe interface IMultiplyAddLanes<TVector>
    where TVector : struct
{
    /// <summary>Lanes of 32 bits in one vector: 4, 8 or 16. It is also the number of channels in one block of an activation map of floats.</summary>
    static abstract int Width { get; }

    /// <summary>All lanes zero.</summary>
    static abstract TVector Zero { get; }

    /// <summary>Loads Width consecutive lanes; no alignment is required. Lane i is source[i].</summary>
    static abstract TVector Load(float* source);

    /// <summary>Stores Width consecutive lanes; no alignment is required. target[i] is lane i.</summary>
    static abstract void Store(float* target, TVector value);

    /// <summary>All lanes equal to a value, whose 32 bits can also be those of integers.</summary>
    static abstract TVector Broadcast(float value);

    /// <summary>max(0, a) for each lane; NaN stays NaN.</summary>
    static abstract TVector Relu(TVector a);

    /// <summary>
    /// c plus the product of a and b, for each lane. Of floats: a * b + c, with a single rounding where the hardware has fused multiply-add. Of
    /// integers: c plus the sum of the products of the integers that a lane of a and b consists of.
    /// </summary>
    static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);
}

/// <summary>
/// Single-precision SIMD operations for one vector width. Kernels are generic over this interface, and the JIT compiles
/// them once per width.
/// </summary>
/// <typeparam name="TVector">The vector type, e.g. <c>Vector256&lt;float&gt;</c>.</typeparam>
internal unsafe interface ILanes<TVector> : IMultiplyAddLanes<TVector>
    where TVector : struct
{
    /// <summary>Loads Width consecutive bytes and converts them to floats; no alignment is required. Lane i is source[i].</summary>
    static abstract TVector LoadBytes(byte* source);

    static abstract TVector Add(TVector a, TVector b);

    static abstract TVector Subtract(TVector a, TVector b);

    static abstract TVector Multiply(TVector a, TVector b);

    /// <summary>Shuffles the lanes of a vector: lane i of the result is lane lanes[i] of <paramref name="a"/>.</summary>
    /// <param name="a">The vector.</param>
    /// <param name="lanes">Width lane indices, each 0 to Width - 1.</param>
    static abstract TVector Shuffle(TVector a, int* lanes);

    /// <summary>
    /// Each bit of the result comes from <paramref name="a"/> where the mask bit is 1, and from
    /// <paramref name="b"/> where it is 0.
    /// </summary>
    static abstract TVector ConditionalSelect(TVector mask, TVector a, TVector b);
}
