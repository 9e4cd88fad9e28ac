using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Int8;

/// <summary>The final linear layer of integers: quantizes the pooled features, and writes the logits, which are the sums times the scales, to the caller's output.</summary>
/// <typeparam name="TVector">The vector type; lanes are classes.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class IntegerClassifierStep<TVector, TLanes> : Step
    where TVector : struct
    where TLanes : struct, IIntegerLanes<TVector>
{
    private readonly int _features;
    private readonly int _pitch;
    private readonly int _classes;
    private readonly QuantizationParameters _pooled;
    private readonly IntegerPanels<TVector, TLanes> _weights;

    /// <param name="weights">Weights and biases.</param>
    /// <param name="features">Number of features.</param>
    /// <param name="pitch">Floats from one image's features to the next image's, at least the features.</param>
    /// <param name="pooled">How the features are stored.</param>
    /// <param name="arena">Allocates the memory of the weights and packs them later.</param>
    public IntegerClassifierStep(QuantizedWeights weights, int features, int pitch, QuantizationParameters pooled, WeightArena arena)
    {
        (_features, _pitch, _pooled, _classes) = (features, pitch, pooled, weights.Biases.Length);
        int elements = (features + IntegerPanels<TVector, TLanes>.UnitElements - 1) / IntegerPanels<TVector, TLanes>.UnitElements * IntegerPanels<TVector, TLanes>.UnitElements;
        _weights = new IntegerPanels<TVector, TLanes>(weights, 1, 1, features, elements, pooled, null, arena);
    }

    /// <summary>Floats of workspace per worker: the quantized features, and the sums of a panel.</summary>
    public int WorkspaceFloats => SumsOffset + MicroKernels.MaximumVectors * TLanes.Width;

    // Rounded up to whole vectors, of which all lanes are written.
    private int SumsOffset => (_features + TLanes.Width - 1) / TLanes.Width * TLanes.Width;

    public override int CountItems(StepContext context) => context.Images;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        float* workspace = context.Workspace(worker), sums = workspace + SumsOffset;
        float* features = context[BufferId.Pooled] + (long)item * _pitch;
        float* logits = context.Results + (long)item * _classes;
        byte* elements = (byte*)workspace;
        for (int i = 0; i < SumsOffset; i++)
        {
            byte element = i < _features ? _pooled.Quantize(features[i]) : (byte)0;
            if (TLanes.ElementBytes == 1)
                elements[i] = element;
            else
                ((short*)elements)[i] = element;
        }
        nint segment = 0;
        for (int index = 0; index < _weights.Count; index++)
        {
            ref readonly var panel = ref _weights[index];
            var arguments = new GemmArguments
            {
                Rows = workspace,
                Segments = &segment,
                SegmentCount = 1,
                Depth = panel.Units,
                Panel = _weights.Weights(panel),
                Initial = _weights.Initial(panel),
                InitialVectorPitch = TLanes.Width,
                Target = sums,
                TargetVectorPitch = TLanes.Width,
            };
            var groups = MicroKernels<TVector, TLanes>.Divide(panel.Vectors, 1);
            groups.SetPrefetch(&arguments, null, 0);
            groups.Run(&arguments);
            for (int vector = 0; vector < panel.Vectors; vector++)
                TLanes.StoreScaled(sums + vector * TLanes.Width, TLanes.Load(sums + vector * TLanes.Width), _weights.Multipliers(panel) + vector * TLanes.Width);
            int first = panel.FirstBlock * TLanes.Width;
            new ReadOnlySpan<float>(sums, Math.Min(panel.Vectors * TLanes.Width, _classes - first)).CopyTo(new Span<float>(logits + first, _classes - first));
        }
    }
}

/// <summary>Converts a quantized map to floats in NCHW and writes it to the caller's output.</summary>
/// <param name="layout">Layout of the map.</param>
/// <param name="source">Buffer of the map.</param>
/// <param name="parameters">How the map is stored.</param>
internal sealed unsafe class IntegerMapOutputStep(IntegerMapLayout layout, BufferId source, QuantizationParameters parameters) : Step
{
    public override int CountItems(StepContext context) => context.Images * layout.Height;

    public override void RunItem(StepContext context, int item, int worker)
    {
        var (image, y) = Math.DivRem(item, layout.Height);
        byte* pixel = (byte*)context[source] + image * layout.ImageBytes + layout.Origin + (long)y * layout.RowBytes;
        long plane = (long)layout.Height * layout.Width;
        float* target = context.Results + image * layout.Channels * plane + (long)y * layout.Width;
        for (int x = 0; x < layout.Width; x++, pixel += layout.PixelBytes)
        {
            for (int c = 0; c < layout.Channels; c++)
                target[c * plane + x] = parameters.Dequantize(pixel[c * layout.ElementBytes]);
        }
    }
}
