using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Backends.Cpu.Memory;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Convolution as an implicit matrix product: each tap reads the input where it lies.</summary>
internal sealed unsafe class DirectConvolution(CpuBackend backend, DirectPlan plan) : ConvolutionKernel
{
    private readonly TileKernels _kernels = backend.Kernels;
    private NativeBuffer? _forwardWeights;
    private NativeBuffer? _backwardWeights;

    private ConvolutionShape Shape => plan.Shape;

    public override void PackForward(float* weights)
    {
        long group = PixelProduct.PackedLength(_kernels, Shape.Taps, Shape.GroupChannels, Shape.GroupOutputs);
        _forwardWeights ??= backend.Pool.Rent(group * Shape.Groups);
        var taps = new int[Shape.Taps];
        for (int t = 0; t < taps.Length; t++)
            taps[t] = t;
        int perOutput = Shape.GroupChannels * Shape.Taps;
        for (int g = 0; g < Shape.Groups; g++)
        {
            PixelProduct.Pack(_kernels, weights + (long)g * Shape.GroupOutputs * perOutput, taps, Shape.GroupChannels, Shape.Taps,
                Shape.GroupOutputs, perOutput, _forwardWeights.Pointer + g * group);
        }
    }

    public override void PackBackward(float* weights)
    {
        long group = PixelProduct.PackedLength(_kernels, Shape.Taps, Shape.GroupOutputs, Shape.GroupChannels);
        _backwardWeights ??= backend.Pool.Rent(group * Shape.Groups);
        int perOutput = Shape.GroupChannels * Shape.Taps;
        for (int g = 0; g < Shape.Groups; g++)
        {
            float* packed = _backwardWeights.Pointer + g * group;
            foreach (var phase in plan.Phases)
            {
                PixelProduct.Pack(_kernels, weights + (long)g * Shape.GroupOutputs * perOutput, phase.KernelTaps, Shape.GroupOutputs, perOutput,
                    Shape.GroupChannels, Shape.Taps, packed);
                packed += PixelProduct.PackedLength(_kernels, phase.KernelTaps.Length, Shape.GroupOutputs, Shape.GroupChannels);
            }
        }
    }

    public override float* PrepareInput(float* input, int images, float* scratch)
    {
        if (!plan.UsesPatches && !plan.UsesFrame)
            return input;
        long size = (long)Shape.Height * Shape.Width * Shape.Channels;
        for (int i = 0; i < images; i++)
        {
            float* image = input + i * size;
            float* target = scratch + i * plan.PreparedImage;
            if (plan.UsesPatches)
            {
                Planes.Patches(image, Shape.Height, Shape.Width, Shape.Channels, Shape.KernelHeight, Shape.KernelWidth, Shape.Stride, Shape.Padding,
                    Shape.OutputHeight, Shape.OutputWidth, target);
            }
            else
            {
                Planes.Pad(image, Shape.Height, Shape.Width, Shape.Channels, target, Shape.Padding, Shape.Padding, plan.PaddedHeight, plan.PaddedWidth);
            }
        }
        return scratch;
    }

    public override void Forward(float* prepared, int images, float* output, float* scratch)
    {
        long group = PixelProduct.PackedLength(_kernels, Shape.Taps, Shape.GroupChannels, Shape.GroupOutputs);
        for (int g = 0; g < Shape.Groups; g++)
        {
            PixelProduct.Run(_kernels, plan.Forward, images * Shape.OutputArea, prepared + (long)g * Shape.GroupChannels, plan.InnerChannels,
                _forwardWeights!.Pointer + g * group, Shape.GroupOutputs, output + (long)g * Shape.GroupOutputs, accumulate: false);
        }
    }

    public override void InputGradient(float* gradient, int images, float* scratch, float* inputGradient, bool accumulate)
    {
        if (plan.NeedsGradientFrame)
        {
            for (int i = 0; i < images; i++)
            {
                Planes.Pad(gradient + (long)i * Shape.OutputArea * Shape.OutputChannels, Shape.OutputHeight, Shape.OutputWidth, Shape.OutputChannels,
                    scratch + i * plan.FramedGradient, plan.MarginTop, plan.MarginLeft, plan.FrameHeight, plan.FrameWidth);
            }
            gradient = scratch;
        }
        long group = PixelProduct.PackedLength(_kernels, Shape.Taps, Shape.GroupOutputs, Shape.GroupChannels);
        for (int g = 0; g < Shape.Groups; g++)
        {
            float* packed = _backwardWeights!.Pointer + g * group;
            foreach (var phase in plan.Phases)
            {
                if (phase.KernelTaps.Length == 0 && accumulate)
                    continue;
                PixelProduct.Run(_kernels, phase.Layout, phase.Layout.Pixels / plan.UnitImages * images, gradient + (long)g * Shape.GroupOutputs, Shape.GroupOutputs,
                    packed, Shape.GroupChannels, inputGradient + (long)g * Shape.GroupChannels, accumulate);
                packed += PixelProduct.PackedLength(_kernels, phase.KernelTaps.Length, Shape.GroupOutputs, Shape.GroupChannels);
            }
        }
    }

    public override void WeightGradient(float* prepared, float* gradient, int images, float* sums, float* scratch)
    {
        long group = plan.SumsLength / Shape.Groups;
        for (int g = 0; g < Shape.Groups; g++)
        {
            WeightProduct.Accumulate(_kernels, plan.Forward, images * Shape.OutputArea, prepared + (long)g * Shape.GroupChannels, plan.InnerChannels,
                gradient + (long)g * Shape.GroupOutputs, Shape.OutputChannels, Shape.GroupOutputs, sums + g * group);
        }
    }

    public override void ReduceWeightGradient(Sums sums, float* weightGradient, bool accumulate)
    {
        sums.AddUp(backend);
        backend.Run(Shape.OutputChannels, (channel, _) => CopyOutputChannel(channel, sums[0], weightGradient, accumulate));
    }

    private void CopyOutputChannel(int outputChannel, float* sums, float* weightGradient, bool accumulate)
    {
        int g = outputChannel / Shape.GroupOutputs;
        int paddedColumns = _kernels.PadColumns(Shape.GroupOutputs);
        int rowsPerTap = plan.UsesPatches ? Shape.GroupChannels : _kernels.PadRows(Shape.GroupChannels);
        float* from = sums + g * (plan.SumsLength / Shape.Groups) + outputChannel % Shape.GroupOutputs;
        float* to = weightGradient + (long)outputChannel * Shape.GroupChannels * Shape.Taps;
        for (int t = 0; t < Shape.Taps; t++)
        {
            for (int c = 0; c < Shape.GroupChannels; c++)
            {
                float value = from[((long)t * rowsPerTap + c) * paddedColumns];
                float* target = to + (long)c * Shape.Taps + t;
                *target = accumulate ? *target + value : value;
            }
        }
    }

    public override void Dispose()
    {
        if (_forwardWeights is not null)
            backend.Pool.Return(_forwardWeights);
        if (_backwardWeights is not null)
            backend.Pool.Return(_backwardWeights);
        _forwardWeights = _backwardWeights = null;
    }
}
