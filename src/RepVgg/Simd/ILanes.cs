namespace RepVgg.Simd;

/// <summary>Single-precision vector arithmetic of one width; kernels are written once over it and compiled per width.</summary>
/// <typeparam name="TVector">The vector type, e.g. <c>Vector256&lt;float&gt;</c>.</typeparam>
internal unsafe interface ILanes<TVector>
    where TVector : struct
{
    /// <summary>Floats in one vector: 4, 8 or 16. It is also the channel block of the activations' layout.</summary>
    static abstract int Width { get; }

    /// <summary>All lanes zero.</summary>
    static abstract TVector Zero { get; }

    static abstract TVector Load(float* source);

    static abstract void Store(float* target, TVector value);

    static abstract TVector Broadcast(float value);

    static abstract TVector Add(TVector a, TVector b);

    static abstract TVector Subtract(TVector a, TVector b);

    static abstract TVector Multiply(TVector a, TVector b);

    /// <summary>max(0, a); NaN stays NaN.</summary>
    static abstract TVector Relu(TVector a);

    /// <summary>a * b + c; one rounding where the hardware has it.</summary>
    static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);

    /// <summary>A vector of some vector's lanes.</summary>
    /// <param name="a">The vector.</param>
    /// <param name="lanes">For each lane of the result, which lane of <paramref name="a"/> it is: 0 to Width - 1.</param>
    static abstract TVector Permute(TVector a, int* lanes);

    /// <summary>Each bit from <paramref name="a"/> where the mask has one, from <paramref name="b"/> where it has none.</summary>
    static abstract TVector Choose(TVector mask, TVector a, TVector b);
}
