using System.Runtime.Intrinsics;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Int8;

/// <summary>The instructions that multiply integers.</summary>
internal enum IntegerInstructions
{
    /// <summary>Words in vectors of 128 bits: SSE2, NEON, or the software fallback.</summary>
    Words128,

    /// <summary>Signed bytes in vectors of 128 bits: NEON's dot product, or its portable equivalent.</summary>
    SignedBytes128,

    /// <summary>Words in vectors of 256 bits: AVX2.</summary>
    Words256,

    /// <summary>Bytes and, for Winograd convolution, words in vectors of 256 bits: AVX-VNNI.</summary>
    Bytes256,

    /// <summary>Bytes in vectors of 256 bits and, for Winograd convolution, words in vectors of 512 bits: AVX-VNNI and AVX-512BW.</summary>
    Bytes256Words512,

    /// <summary>Words in vectors of 512 bits: AVX-512BW.</summary>
    Words512,
}

/// <summary>Creates the step of a Winograd convolution.</summary>
/// <returns>The step, and the floats of workspace that each worker needs for it.</returns>
internal delegate (ConvolutionStep Step, long WorkspaceFloats) WinogradFactory(
    BlockSpec shape, QuantizedWeights weights, IntegerMapLayout input, QuantizationParameters inputParameters, IntegerMapLayout output, QuantizationParameters outputParameters,
    BufferId source, BufferId target, WeightArena arena);

/// <summary>Builds the execution plan of a quantized network.</summary>
internal static class QuantizedPlanBuilder
{
    /// <summary>The fastest instructions of this machine.</summary>
    public static IntegerInstructions Fastest =>
        ByteLanes512.IsSupported ? IntegerInstructions.Bytes256Words512
        : ByteLanes256.IsSupported ? IntegerInstructions.Bytes256
        : WordLanes512.IsSupported ? IntegerInstructions.Words512
        : WordLanes256.IsSupported ? IntegerInstructions.Words256
        : SignedByteLanes128.IsSupported ? IntegerInstructions.SignedBytes128
        : IntegerInstructions.Words128;

    /// <summary>Builds the plan of a network. The weights are not packed yet; see <see cref="Plan.PackWeights"/>.</summary>
    /// <param name="instructions">The instructions that multiply integers.</param>
    /// <param name="network">The network, which must be valid.</param>
    /// <param name="shapes">The network's shapes, and the weights of the layers in floating point.</param>
    public static Plan Build(IntegerInstructions instructions, QuantizedNetwork network, NetworkSource shapes) => instructions switch
    {
        IntegerInstructions.Words512 => Build<Vector512<int>, WordLanes512>(network, shapes, IntegerWinogradStep<Vector512<int>, WordLanes512, WordLanes512>.Create, WordLanes512.Width),
        IntegerInstructions.Bytes256Words512 => Build<Vector256<int>, ByteLanes256>(network, shapes, IntegerWinogradStep<Vector512<int>, ByteLanes512, WordLanes512>.Create, WordLanes512.Width),
        IntegerInstructions.Bytes256 => Build<Vector256<int>, ByteLanes256>(network, shapes, IntegerWinogradStep<Vector256<int>, ByteLanes256, DotWordLanes256>.Create, ByteLanes256.Width),
        IntegerInstructions.Words256 => Build<Vector256<int>, WordLanes256>(network, shapes, IntegerWinogradStep<Vector256<int>, WordLanes256, WordLanes256>.Create, WordLanes256.Width),
        IntegerInstructions.SignedBytes128 => Build<Vector128<int>, SignedByteLanes128>(network, shapes, IntegerWinogradStep<Vector128<int>, SignedByteLanes128, WordLanes128>.Create, WordLanes128.Width),
        _ => Build<Vector128<int>, WordLanes128>(network, shapes, IntegerWinogradStep<Vector128<int>, WordLanes128, WordLanes128>.Create, WordLanes128.Width),
    };

    private static Plan Build<TVector, TLanes>(QuantizedNetwork network, NetworkSource shapes, WinogradFactory createWinograd, int lanes)
        where TVector : struct
        where TLanes : struct, IIntegerLanes<TVector> => new QuantizedPlanBuilder<TVector, TLanes>(network, shapes, createWinograd, lanes).Build();
}

/// <summary>Builds the execution plan of a quantized network for one kind of instructions.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on elements of maps.</typeparam>
internal sealed class QuantizedPlanBuilder<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, IIntegerLanes<TVector>
{
    // Least number of input channels of a group, and of tiles of an image, for Winograd convolution. With fewer, its transforms cost more than the multiplications that it saves:
    // those of the inputs and sums, and those of the filters, which all tiles of a chunk share. Direct convolution of bytes has half the multiplications of words.
    private const int WinogradChannels = 24;
    private const int WinogradTiles = 4;
    private const int WinogradTilesOfBytes = 12;

    private readonly QuantizedNetwork _network;
    private readonly NetworkSource _shapes;
    private readonly WinogradFactory _createWinograd;
    private readonly int _lanes;
    private readonly PlanParts _parts = new();
    private readonly PlanBuilder _floatLayers;

    // The map that the next step reads: of integers if _parameters is set, otherwise of floats.
    private QuantizationParameters? _parameters;
    private IntegerMapLayout _integers;
    private MapLayout _floats;
    private BufferId _buffer;

    /// <param name="network">The network.</param>
    /// <param name="shapes">The network's shapes, and the weights of the layers in floating point.</param>
    /// <param name="createWinograd">Creates the steps of Winograd convolutions.</param>
    /// <param name="lanes">The largest number of lanes of a vector, whose elements are written together.</param>
    public QuantizedPlanBuilder(QuantizedNetwork network, NetworkSource shapes, WinogradFactory createWinograd, int lanes)
    {
        (_network, _shapes, _createWinograd, _lanes) = (network, shapes, createWinograd, lanes);
        _floatLayers = PlanBuilder.Create(VectorWidths.Widest, _parts);
    }

    /// <summary>Builds the plan.</summary>
    public Plan Build()
    {
        AddInput();
        foreach (var (i, block) in _network.Blocks.Index())
        {
            if (block.Convolution is { } convolution)
                AddIntegerBlock(block, convolution, _shapes.Blocks[i]);
            else
                AddFloatBlock(block, _shapes.Blocks[i]);
        }
        _parts.BeginTrailing(_buffer, _parameters is null ? _floats.ImagePitch : _integers.ImageFloats);
        AddOutput();
        return _parts.Build(_shapes.InputLength, _shapes.OutputLength);
    }

    private void AddInput()
    {
        _parameters = _network.Input;
        if (_parameters is { } parameters)
        {
            // A pixel has a whole number of units of four bytes and of two words.
            int elements = (_shapes.InputChannels + 3) / 4 * 4;
            _integers = new IntegerMapLayout(_shapes.InputChannels, _shapes.ImageHeight, _shapes.ImageWidth, elements, TLanes.ElementBytes);
            _buffer = BufferId.Input;
            _parts.Reserve(_buffer, _integers.ImageFloats);
            _parts.CountMaps(_integers.ImageFloats);
            _parts.Add(new QuantizeInputStep(_integers, _shapes.Normalization, parameters));
        }
        else
        {
            (_floats, _buffer) = _floatLayers.AddNormalization(_shapes);
        }
    }

    private void AddIntegerBlock(QuantizedBlock block, QuantizedWeights weights, BlockSource source)
    {
        var shape = block.Shape;
        var (input, output, stored) = (_parameters!.Value, block.Output!.Value, block.BeforeSqueeze ?? block.Output!.Value);
        _parts.BeginBlock(weights.Weights.Length, _buffer, _integers.ImageFloats);
        var layout = Layout(shape.OutputChannels, ConvolutionSize.OutputOfBlock(_integers.Height, shape.Stride), ConvolutionSize.OutputOfBlock(_integers.Width, shape.Stride));
        var target = _parts.MapBuffer(layout, layout.ImageFloats, _buffer);
        if (PrefersWinograd(shape, layout) && IntegerWinograd.IsExact(weights))
        {
            var (winograd, workspace) = _createWinograd(shape, weights, _integers, input, layout, stored, _buffer, target, _parts.Weights);
            _parts.Add(winograd, workspace);
        }
        else
        {
            var direct = new IntegerConvolutionStep<TVector, TLanes>(shape, weights, _integers, input, layout, stored, _buffer, target, _parts.Weights);
            _parts.Add(direct, direct.WorkspaceFloats);
        }
        _parts.CountMaps(_integers.ImageFloats + layout.ImageFloats);
        if (source.Squeeze is not null && source.Excite is not null)
        {
            AddPool(layout, target, stored);
            _floatLayers.AddChannelScales(source.Squeeze, source.Excite);
            _parts.Add(new IntegerScaleStep<TVector, TLanes>(layout, target, stored, output, _floatLayers.PooledFloats(shape.OutputChannels)));
        }
        (_integers, _parameters, _buffer) = (layout, output, target);
    }

    private static bool PrefersWinograd(BlockSpec shape, IntegerMapLayout output)
    {
        int tiles = (output.Height + 3) / 4 * ((output.Width + 3) / 4);
        return shape.Stride == 1 && shape.InputChannels / shape.Groups >= WinogradChannels && tiles >= (TLanes.ElementBytes == 1 ? WinogradTilesOfBytes : WinogradTiles);
    }

    private void AddFloatBlock(QuantizedBlock block, BlockSource source)
    {
        if (_parameters is { } stored)
        {
            var layout = new MapLayout(_integers.Channels, _integers.Height, _integers.Width, _floatLayers.Lanes);
            var target = _parts.MapBuffer(layout, layout.ImagePitch, _buffer);
            _parts.Add(new DequantizeMapStep<TVector, TLanes>(_integers, _buffer, stored, layout, target));
            (_floats, _buffer) = (layout, target);
        }
        (_floats, _buffer) = _floatLayers.AddBlock(source, (_floats, _buffer));
        _parameters = block.Output;
        if (_parameters is { } output)
        {
            _integers = Layout(_floats.Channels, _floats.Height, _floats.Width);
            var target = _parts.MapBuffer(_integers, _integers.ImageFloats, _buffer);
            _parts.Add(new QuantizeMapStep<TVector, TLanes>(_floats, _buffer, _integers, target, output));
            _buffer = target;
        }
    }

    private void AddOutput()
    {
        int channels = _shapes.Blocks[^1].Shape.OutputChannels;
        switch (_network.Output)
        {
            case NetworkOutput.FeatureMap when _parameters is { } stored:
                _parts.Add(new IntegerMapOutputStep(_integers, _buffer, stored));
                return;
            case NetworkOutput.FeatureMap:
                _parts.Add(new FeatureMapOutputStep(_floats, _buffer));
                return;
        }
        if (_parameters is { } pooled)
            AddPool(_integers, _buffer, pooled);
        else
            _floatLayers.AddPool((_floats, _buffer));
        if (_network.QuantizedClassifier is { } classifier)
        {
            var step = new IntegerClassifierStep<TVector, TLanes>(classifier, channels, _floatLayers.PooledFloats(channels), _network.Pooled!.Value, _parts.Weights);
            _parts.Add(step, step.WorkspaceFloats);
        }
        else
        {
            _floatLayers.AddHead(_shapes, channels);
        }
    }

    private void AddPool(IntegerMapLayout layout, BufferId buffer, QuantizationParameters stored)
    {
        int pitch = _floatLayers.PooledFloats(layout.Channels);
        _parts.Reserve(BufferId.Pooled, pitch);
        _parts.Add(new IntegerPoolStep<TVector, TLanes>(layout, buffer, stored, pitch));
    }

    // Vectors of elements are written whole, so that a pixel has a whole number of them.
    private IntegerMapLayout Layout(int channels, int height, int width) => new(channels, height, width, (channels + _lanes - 1) / _lanes * _lanes, TLanes.ElementBytes);
}
