using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Float32;

/// <summary>A linear layer with weights packed as [output block][input feature][output lane].</summary>
/// <typeparam name="TVector">The vector type; lanes are output features.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class PackedLinear<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // Prefetch distance in floats. The blocks are contiguous, so the prefetch continues with the next block.
    private const int PrefetchDistance = 4096;

    private readonly float* _weights;
    private readonly float* _bias;

    /// <param name="layer">The layer.</param>
    /// <param name="arena">Allocates the memory of the weights and packs them later.</param>
    public PackedLinear(LinearSource layer, WeightArena arena)
    {
        int lanes = TLanes.Width;
        InputFeatures = layer.InputFeatures;
        OutputFeatures = layer.OutputFeatures;
        _weights = arena.Allocate((long)Blocks * lanes * InputFeatures);
        _bias = arena.Allocate((long)Blocks * lanes);
        arena.Packers.Add((ref float[] readBuffer) => Pack(layer, ref readBuffer));
    }

    /// <summary>Number of input features.</summary>
    public int InputFeatures { get; }

    /// <summary>Number of output features.</summary>
    public int OutputFeatures { get; }

    /// <summary>Number of blocks of output features, each of the vector width.</summary>
    public int Blocks => (OutputFeatures + TLanes.Width - 1) / TLanes.Width;

    private void Pack(LinearSource layer, ref float[] readBuffer)
    {
        int lanes = TLanes.Width;
        layer.Bias.Read(0, OutputFeatures, ref readBuffer).CopyTo(new Span<float>(_bias, OutputFeatures));
        for (int first = 0; first < OutputFeatures; first += lanes)
        {
            int count = Math.Min(lanes, OutputFeatures - first);
            var rows = layer.Weight.Read(first * InputFeatures, count * InputFeatures, ref readBuffer);
            float* block = _weights + (long)first * InputFeatures;
            for (int o = 0; o < count; o++)
                PackRow(rows.Slice(o * InputFeatures, InputFeatures), block + o, lanes);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackRow(ReadOnlySpan<float> row, float* target, int pitch)
    {
        for (int i = 0; i < row.Length; i++, target += pitch)
            *target = row[i];
    }

    /// <summary>
    /// Computes one block of outputs: lane o is bias[o] plus the sum over i of input[i] * weight[o][i]. The sum is divided
    /// into four partial sums, which are always added in the same order.
    /// </summary>
    /// <param name="input">The input features.</param>
    /// <param name="block">Index of the output block.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector Compute(float* input, int block)
    {
        int lanes = TLanes.Width;
        float* weights = _weights + (long)block * InputFeatures * lanes;
        TVector a0 = TLanes.Load(_bias + block * lanes), a1 = TLanes.Zero, a2 = a1, a3 = a1;
        int i = 0;
        for (; i + 4 <= InputFeatures; i += 4)
        {
            Prefetch.ToL2(weights + PrefetchDistance, 4 * lanes);
            a0 = TLanes.MultiplyAdd(TLanes.Broadcast(input[i]), TLanes.Load(weights), a0);
            a1 = TLanes.MultiplyAdd(TLanes.Broadcast(input[i + 1]), TLanes.Load(weights + lanes), a1);
            a2 = TLanes.MultiplyAdd(TLanes.Broadcast(input[i + 2]), TLanes.Load(weights + 2 * lanes), a2);
            a3 = TLanes.MultiplyAdd(TLanes.Broadcast(input[i + 3]), TLanes.Load(weights + 3 * lanes), a3);
            weights += 4 * lanes;
        }
        for (; i < InputFeatures; i++, weights += lanes)
            a0 = TLanes.MultiplyAdd(TLanes.Broadcast(input[i]), TLanes.Load(weights), a0);
        return TLanes.Add(TLanes.Add(a0, a1), TLanes.Add(a2, a3));
    }
}
