using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Int8;

/// <summary>Direct 3x3 convolution of a map of integers with any stride and any number of groups; the sums are quantized to the output map.</summary>
/// <remarks>
/// In NHWC, the inputs of the three taps of one filter row are consecutive. The output pixels of a row are the rows of the
/// <see cref="GemmKernel{TVector, TLanes, TVectors, TRows}"/>, whose elements are lanes of four bytes or two words, and each filter row is one of its segments; if the
/// panel reads only a part of a pixel, each tap is one.
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are output channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class IntegerConvolutionStep<TVector, TLanes> : DirectStep
    where TVector : struct
    where TLanes : struct, IIntegerLanes<TVector>
{
    private readonly IntegerMapLayout _input;
    private readonly IntegerMapLayout _output;
    private readonly BufferId _source;
    private readonly BufferId _target;
    private readonly int _stride;
    private readonly int _zeroPoint;
    private readonly IntegerPanels<TVector, TLanes> _filters;

    public IntegerConvolutionStep(
        BlockSpec shape, QuantizedWeights weights, IntegerMapLayout input, QuantizationParameters inputParameters, IntegerMapLayout output, QuantizationParameters outputParameters,
        BufferId source, BufferId target, WeightArena arena)
        : base(shape, output.Height, output.Width)
    {
        (_input, _output, _source, _target) = (input, output, source, target);
        _stride = shape.Stride;
        _zeroPoint = outputParameters.ZeroPoint;
        _filters = new IntegerPanels<TVector, TLanes>(weights, 9, shape.Groups, shape.InputChannels, input.PixelElements, inputParameters, outputParameters, arena);
    }

    /// <summary>Floats of workspace per worker, for the sums of a row.</summary>
    public int WorkspaceFloats => _output.Width * MicroKernels.MaximumVectors * TLanes.Width;

    protected override int Panels => _filters.Count;

    protected override bool PanelsFirst => _filters.Floats > _input.ImageFloats;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Convolve(StepContext context, int worker, int index, int first, int end, bool isLast)
    {
        float* sums = context.Workspace(worker);
        ref readonly var panel = ref _filters[index];
        byte* source = (byte*)context[_source] + _input.FirstTap(Block) + panel.FirstElement * TLanes.ElementBytes;
        byte* target = (byte*)context[_target] + _output.Origin + panel.FirstBlock * TLanes.Width * TLanes.ElementBytes;
        int lanes = panel.Vectors * TLanes.Width;
        nint* segments = stackalloc nint[9];
        var arguments = new GemmArguments
        {
            RowPitch = _stride * _input.PixelBytes / sizeof(float),
            Segments = segments,
            Panel = _filters.Weights(panel),
            InitialVectorPitch = TLanes.Width,
            TargetPitch = lanes,
            TargetVectorPitch = TLanes.Width,
        };
        FillSegments(panel, &arguments);
        var groups = MicroKernels<TVector, TLanes>.Divide(panel.Vectors, _output.Width);
        groups.SetPrefetch(&arguments, null, 0);
        for (int row = first; row < end; row++)
        {
            (int image, int y) = Math.DivRem(row, _output.Height);
            arguments.Rows = (float*)(source + image * _input.ImageBytes + (long)y * _stride * _input.RowBytes);
            arguments.Initial = _filters.Initial(panel);
            arguments.Target = sums;
            groups.Run(&arguments);
            Quantize(sums, _filters.Multipliers(panel), panel.Vectors, target + image * _output.ImageBytes + (long)y * _output.RowBytes);
        }
    }

    /// <summary>Sets the segments of a panel: offsets in floats, and their length.</summary>
    private void FillSegments(in IntegerPanel panel, GemmArguments* arguments)
    {
        bool isWholePixel = panel.Units * IntegerPanels<TVector, TLanes>.UnitElements == _input.PixelElements;
        arguments->SegmentCount = isWholePixel ? 3 : 9;
        arguments->Depth = isWholePixel ? 3 * panel.Units : panel.Units;
        for (int i = 0; i < arguments->SegmentCount; i++)
            arguments->Segments[i] = (isWholePixel ? i * _input.RowBytes : i / 3 * _input.RowBytes + i % 3 * _input.PixelBytes) / sizeof(float);
    }

    /// <summary>Quantizes the sums of a row and writes them to the output map.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Quantize(float* sums, float* multipliers, int vectors, byte* target)
    {
        for (int x = 0; x < _output.Width; x++, target += _output.PixelBytes)
        {
            for (int vector = 0; vector < vectors; vector++, sums += TLanes.Width)
                TLanes.StoreQuantized(target + vector * TLanes.Width * TLanes.ElementBytes, TLanes.Load(sums), multipliers + vector * TLanes.Width, _zeroPoint);
        }
    }
}
