namespace RepVgg.Runtime.Simd;

/// <summary>
/// Single-precision SIMD operations for one vector width. Kernels are generic over this interface, and the JIT compiles
/// them once per width.
/// </summary>
/// <typeparam name="TVector">The vector type, e.g. <c>Vector256&lt;float&gt;</c>.</typeparam>
internal unsafe interface ILanes<TVector>
    where TVector : struct
{
    /// <summary>Floats in one vector: 4, 8 or 16. It is also the number of channels in one block of an activation map.</summary>
    static abstract int Width { get; }

    /// <summary>All lanes zero.</summary>
    static abstract TVector Zero { get; }

    /// <summary>Loads Width consecutive floats; no alignment is required. Lane i is source[i].</summary>
    static abstract TVector Load(float* source);

    /// <summary>Loads Width consecutive bytes and converts them to floats; no alignment is required. Lane i is source[i].</summary>
    static abstract TVector LoadBytes(byte* source);

    /// <summary>Stores Width consecutive floats; no alignment is required. target[i] is lane i.</summary>
    static abstract void Store(float* target, TVector value);

    /// <summary>All lanes equal to a value.</summary>
    static abstract TVector Broadcast(float value);

    static abstract TVector Add(TVector a, TVector b);

    static abstract TVector Subtract(TVector a, TVector b);

    static abstract TVector Multiply(TVector a, TVector b);

    /// <summary>max(0, a) for each lane; NaN stays NaN.</summary>
    static abstract TVector Relu(TVector a);

    /// <summary>a * b + c for each lane, with a single rounding where the hardware has fused multiply-add.</summary>
    static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);

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
