using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Runtime.Memory;
using System.Runtime.CompilerServices;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>
/// Convolution as an implicit matrix product (implicit GEMM): for each tap, the kernel reads the input at an offset,
/// without an im2col copy. Padded inputs are first copied into a zero-padded frame, and inputs with few channels to
/// patches.
/// </summary>
internal sealed unsafe class DirectConvolution(CpuContext context, DirectPlan plan) : ConvolutionExecutor
{
    private readonly MicroKernelSet _kernels = context.Kernels;
    private NativeBuffer? _forwardWeights;
    private NativeBuffer? _backwardWeights;

    public override ConvolutionPlan Plan => plan;

    private ConvolutionShape Shape => plan.Shape;

    public override void PackForward(float* weights)
    {
        long group = PackedGemm.PackedLength(_kernels, Shape.Taps, Shape.GroupChannels, Shape.GroupOutputs);
        _forwardWeights ??= context.Pool.Rent(group * Shape.Groups);
        var taps = AllTaps();
        int perOutput = Shape.GroupChannels * Shape.Taps;
        for (int g = 0; g < Shape.Groups; g++)
        {
            PackedGemm.Pack(context.Kernels, context.Loop, weights + (long)g * Shape.GroupOutputs * perOutput, taps, Shape.GroupChannels, Shape.Taps,
                Shape.GroupOutputs, perOutput, _forwardWeights.Pointer + g * group);
        }
    }

    public override void PackBackward(float* weights)
    {
        long group = PackedGemm.PackedLength(_kernels, Shape.Taps, Shape.GroupOutputs, Shape.GroupChannels);
        _backwardWeights ??= context.Pool.Rent(group * Shape.Groups);
        int perOutput = Shape.GroupChannels * Shape.Taps;
        for (int g = 0; g < Shape.Groups; g++)
        {
            float* packed = _backwardWeights.Pointer + g * group;
            foreach (var phase in plan.Phases)
            {
                PackedGemm.Pack(context.Kernels, context.Loop, weights + (long)g * Shape.GroupOutputs * perOutput, phase.KernelTaps, Shape.GroupOutputs, perOutput,
                    Shape.GroupChannels, Shape.Taps, packed);
                packed += PackedGemm.PackedLength(_kernels, phase.KernelTaps.Length, Shape.GroupOutputs, Shape.GroupChannels);
            }
        }
    }

    public override float* PrepareInput(float* input, int images, float* workspace)
    {
        if (!plan.UsesPatches && !plan.UsesFrame)
            return input;
        long size = (long)Shape.Height * Shape.Width * Shape.Channels;
        for (int i = 0; i < images; i++)
        {
            float* image = input + i * size;
            float* target = workspace + i * plan.PreparedImage;
            if (plan.UsesPatches)
            {
                ImageLayout.Im2Col(image, Shape.Height, Shape.Width, Shape.Channels, Shape.KernelHeight, Shape.KernelWidth, Shape.Stride, Shape.Geometry.Top, Shape.Geometry.Left,
                    Shape.OutputHeight, Shape.OutputWidth, target);
            }
            else
            {
                ImageLayout.Pad(image, Shape.Height, Shape.Width, Shape.Channels, target, Shape.Geometry.Top, Shape.Geometry.Left, plan.PaddedHeight, plan.PaddedWidth);
            }
        }
        return workspace;
    }

    public override void Forward(float* prepared, int images, float* output, float* workspace)
    {
        long group = PackedGemm.PackedLength(_kernels, Shape.Taps, Shape.GroupChannels, Shape.GroupOutputs);
        for (int g = 0; g < Shape.Groups; g++)
        {
            PackedGemm.Run(_kernels, plan.ForwardOffsets, images * Shape.OutputArea, prepared + (long)g * Shape.GroupChannels, plan.InnerChannels,
                _forwardWeights!.Pointer + g * group, Shape.GroupOutputs, output + (long)g * Shape.GroupOutputs, accumulate: false);
        }
    }

    public override void InputGradient(float* gradient, int images, float* workspace, float* inputGradient, bool accumulate)
    {
        if (plan.NeedsGradientFrame)
        {
            for (int i = 0; i < images; i++)
                FrameGradient(gradient + (long)i * Shape.OutputArea * Shape.OutputChannels, workspace + i * plan.FramedGradient);
            gradient = workspace;
        }
        long group = PackedGemm.PackedLength(_kernels, Shape.Taps, Shape.GroupOutputs, Shape.GroupChannels);
        for (int g = 0; g < Shape.Groups; g++)
        {
            float* packed = _backwardWeights!.Pointer + g * group;
            foreach (var phase in plan.Phases)
            {
                if (phase.KernelTaps.Length == 0 && accumulate)
                    continue;
                PackedGemm.Run(_kernels, phase.Offsets, phase.Offsets.Pixels / plan.UnitImages * images, gradient + (long)g * Shape.GroupOutputs, Shape.GroupOutputs,
                    packed, Shape.GroupChannels, inputGradient + (long)g * Shape.GroupChannels, accumulate);
                packed += PackedGemm.PackedLength(_kernels, phase.KernelTaps.Length, Shape.GroupOutputs, Shape.GroupChannels);
            }
        }
    }

    public override void WeightGradient(float* prepared, float* gradient, int images, float* sums, float* workspace)
    {
        long group = plan.SumsLength / Shape.Groups;
        for (int g = 0; g < Shape.Groups; g++)
        {
            WeightGradientGemm.Accumulate(_kernels, plan.ForwardOffsets, images * Shape.OutputArea, prepared + (long)g * Shape.GroupChannels, plan.InnerChannels,
                gradient + (long)g * Shape.GroupOutputs, Shape.OutputChannels, Shape.GroupOutputs, sums + g * group);
        }
    }

    public override void ReduceWeightGradient(ChunkedBuffer sums, float* weightGradient, bool accumulate)
    {
        sums.SumChunks(context);
        Store(sums, weightGradient, accumulate);
    }

    public override void ForwardOfBatch(float* weights, float* input, int images, float* output)
    {
        using var copied = PrepareBatch(input, images, out float* prepared);
        var taps = AllTaps();
        int panel = PackedGemm.PanelWidth(_kernels), panels = (Shape.GroupOutputs + panel - 1) / panel, perOutput = Shape.GroupChannels * Shape.Taps;
        using var workspaces = new WorkerWorkspaces(context, PackedGemm.PackedLength(_kernels, Shape.Taps, Shape.GroupChannels, panel));
        context.Run(Shape.Groups * panels, (item, worker) =>
        {
            int g = item / panels, column = item % panels * panel, width = Math.Min(panel, Shape.GroupOutputs - column), first = g * Shape.GroupOutputs + column;
            PackedGemm.PackPanel(_kernels, weights + (long)first * perOutput, taps, Shape.GroupChannels, Shape.Taps, width, perOutput, workspaces[worker]);
            for (int image = 0; image < images; image += plan.UnitImages)
            {
                PackedGemm.Run(_kernels, plan.ForwardOffsets, Math.Min(plan.UnitImages, images - image) * Shape.OutputArea, prepared + image * plan.PreparedImage + (long)g * Shape.GroupChannels,
                    plan.InnerChannels, workspaces[worker], width, output + (long)image * Shape.OutputArea * Shape.OutputChannels + first, accumulate: false);
            }
        });
    }

    public override void InputGradientOfBatch(float* weights, float* gradient, int images, float* inputGradient, bool accumulate)
    {
        long gradientSize = (long)Shape.OutputArea * Shape.OutputChannels, inputSize = (long)Shape.Height * Shape.Width * Shape.Channels;
        using var framed = new ChunkedBuffer(context.Pool, images, plan.NeedsGradientFrame ? plan.FramedGradient : 0);
        if (plan.NeedsGradientFrame)
            context.Run(images, (image, _) => FrameGradient(gradient + image * gradientSize, framed[image]));
        float* from = plan.NeedsGradientFrame ? framed[0] : gradient;
        long fromSize = plan.NeedsGradientFrame ? plan.FramedGradient : gradientSize;

        int panel = PackedGemm.PanelWidth(_kernels), panels = (Shape.GroupChannels + panel - 1) / panel, perOutput = Shape.GroupChannels * Shape.Taps;
        using var workspaces = new WorkerWorkspaces(context, PackedGemm.PackedLength(_kernels, Shape.Taps, Shape.GroupOutputs, panel));
        context.Run(Shape.Groups * panels, (item, worker) =>
        {
            int g = item / panels, column = item % panels * panel, width = Math.Min(panel, Shape.GroupChannels - column);
            foreach (var phase in plan.Phases)
            {
                if (phase.KernelTaps.Length == 0 && accumulate)
                    continue;
                PackedGemm.PackPanel(_kernels, weights + (long)g * Shape.GroupOutputs * perOutput + (long)column * Shape.Taps, phase.KernelTaps, Shape.GroupOutputs, perOutput, width, Shape.Taps, workspaces[worker]);
                for (int image = 0; image < images; image += plan.UnitImages)
                {
                    PackedGemm.Run(_kernels, phase.Offsets, phase.Offsets.Pixels / plan.UnitImages * Math.Min(plan.UnitImages, images - image), from + image * fromSize + (long)g * Shape.GroupOutputs,
                        Shape.GroupOutputs, workspaces[worker], width, inputGradient + image * inputSize + (long)g * Shape.GroupChannels + column, accumulate);
                }
            }
        });
    }

    public override void WeightGradientOfBatch(float* input, float* gradient, int images, float* weightGradient, bool accumulate)
    {
        using var copied = PrepareBatch(input, images, out float* prepared);
        using var sums = new ChunkedBuffer(context.Pool, 1, plan.SumsLength);
        int rowBlock = 6 * _kernels.Rows, rowBlocks = (plan.InnerChannels + rowBlock - 1) / rowBlock;
        long group = plan.SumsLength / Shape.Groups;
        context.Run(Shape.Groups * plan.InnerTaps * rowBlocks, (item, _) =>
        {
            int first = item % rowBlocks * rowBlock, tap = item / rowBlocks % plan.InnerTaps, g = item / rowBlocks / plan.InnerTaps;
            int last = Math.Min(first + rowBlock, plan.InnerChannels);
            float* groupSums = sums[0] + g * group;
            for (int image = 0; image < images; image += plan.UnitImages)
            {
                WeightGradientGemm.Run(_kernels, plan.ForwardOffsets, Math.Min(plan.UnitImages, images - image) * Shape.OutputArea,
                    prepared + image * plan.PreparedImage + (long)g * Shape.GroupChannels, plan.InnerChannels, tap..(tap + 1), first..last,
                    gradient + (long)image * Shape.OutputArea * Shape.OutputChannels + (long)g * Shape.GroupOutputs, Shape.OutputChannels, Shape.GroupOutputs, groupSums, accumulate: image > 0);
            }
        });
        Store(sums, weightGradient, accumulate);
    }

    /// <summary>Converts the images of a batch in parallel to the layout that the kernels read.</summary>
    /// <param name="input">The images.</param>
    /// <param name="images">Number of images.</param>
    /// <param name="prepared">Receives the first converted image; they are <see cref="DirectPlan.PreparedImage"/> floats apart.</param>
    /// <returns>The memory of the converted images; empty if no conversion is needed.</returns>
    private ChunkedBuffer PrepareBatch(float* input, int images, out float* prepared)
    {
        bool copies = plan.UsesPatches || plan.UsesFrame;
        var copied = new ChunkedBuffer(context.Pool, images, copies ? plan.PreparedImage : 0);
        prepared = copies ? copied[0] : input;
        long inputSize = (long)Shape.Height * Shape.Width * Shape.Channels;
        if (copies)
            context.Run(images, (image, _) => PrepareInput(input + image * inputSize, 1, copied[image]));
        return copied;
    }

    private void FrameGradient(float* gradient, float* frame) =>
        ImageLayout.Pad(gradient, Shape.OutputHeight, Shape.OutputWidth, Shape.OutputChannels, frame, plan.MarginTop, plan.MarginLeft, plan.FrameHeight, plan.FrameWidth);

    private int[] AllTaps() => [.. Enumerable.Range(0, Shape.Taps)];

    private void Store(ChunkedBuffer sums, float* weightGradient, bool accumulate)
    {
        const int OutputBlock = 64, ChannelBlock = 16;
        int outputBlocks = (Shape.GroupOutputs + OutputBlock - 1) / OutputBlock, channelBlocks = (Shape.GroupChannels + ChannelBlock - 1) / ChannelBlock;
        context.Run(Shape.Groups * outputBlocks * channelBlocks, (item, _) =>
        {
            int channel = item % channelBlocks * ChannelBlock, output = item / channelBlocks % outputBlocks * OutputBlock;
            StoreBlock(item / channelBlocks / outputBlocks, output, Math.Min(OutputBlock, Shape.GroupOutputs - output),
                channel, Math.Min(ChannelBlock, Shape.GroupChannels - channel), sums[0], weightGradient, accumulate);
        });
    }

    /// <summary>Transposes the sums [tap][channel][output] to OIHW for a block of outputs and channels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void StoreBlock(int group, int output, int outputs, int channel, int channels, float* sums, float* weightGradient, bool accumulate)
    {
        int taps = Shape.Taps, paddedColumns = _kernels.PadColumns(Shape.GroupOutputs);
        nint tapStride = (nint)(plan.UsesPatches ? Shape.GroupChannels : _kernels.PadRows(Shape.GroupChannels)) * paddedColumns;
        nint outputStride = (nint)Shape.GroupChannels * taps;
        float* from = sums + group * (plan.SumsLength / Shape.Groups) + (long)channel * paddedColumns + output;
        float* to = weightGradient + ((long)group * Shape.GroupOutputs + output) * outputStride + (long)channel * taps;
        for (int t = 0; t < taps; t++)
            Transposition.PrefetchMatrix(from + t * tapStride, outputs, 1, channels, paddedColumns);
        Transposition.PrefetchMatrix(to, channels, taps, outputs, outputStride);
        for (int c = 0; c < channels; c++)
            Transposition.Run(from + (nint)c * paddedColumns, tapStride, taps, outputs, to + c * taps, outputStride, accumulate);
    }

    public override void Dispose()
    {
        if (_forwardWeights is not null)
            context.Pool.Return(_forwardWeights);
        if (_backwardWeights is not null)
            context.Pool.Return(_backwardWeights);
        _forwardWeights = _backwardWeights = null;
    }
}
