using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Backends.Cpu.Memory;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>One convolution of one step: packed weights, and passes over units of a few images, without batch or threads.</summary>
internal sealed unsafe class ConvolutionKernel(TileKernels kernels, ConvolutionPlan plan, BufferPool pool) : IDisposable
{
    private NativeBuffer? _forwardWeights;
    private NativeBuffer? _backwardWeights;

    public ConvolutionPlan Plan => plan;

    private ConvolutionShape Shape => plan.Shape;

    /// <summary>Floats of one set of weight-gradient sums.</summary>
    public long SumsLength => Shape.Groups * WeightProduct.SumsLength(kernels, plan.InnerTaps, plan.InnerChannels, Shape.GroupOutputs);

    /// <summary>Packs OIHW weights for <see cref="Forward"/>.</summary>
    public void PackForward(float* weights)
    {
        long group = PixelProduct.PackedLength(kernels, Shape.Taps, Shape.GroupChannels, Shape.GroupOutputs);
        _forwardWeights ??= pool.Rent(group * Shape.Groups);
        var taps = new int[Shape.Taps];
        for (int t = 0; t < taps.Length; t++)
            taps[t] = t;
        int perOutput = Shape.GroupChannels * Shape.Taps;
        for (int g = 0; g < Shape.Groups; g++)
        {
            PixelProduct.Pack(kernels, weights + (long)g * Shape.GroupOutputs * perOutput, taps, Shape.GroupChannels, Shape.Taps,
                Shape.GroupOutputs, perOutput, _forwardWeights.Pointer + g * group);
        }
    }

    /// <summary>Packs OIHW weights for <see cref="InputGradient"/>.</summary>
    public void PackBackward(float* weights)
    {
        long group = PixelProduct.PackedLength(kernels, Shape.Taps, Shape.GroupOutputs, Shape.GroupChannels);
        _backwardWeights ??= pool.Rent(group * Shape.Groups);
        int perOutput = Shape.GroupChannels * Shape.Taps;
        for (int g = 0; g < Shape.Groups; g++)
        {
            float* packed = _backwardWeights.Pointer + g * group;
            foreach (var phase in plan.Phases)
            {
                PixelProduct.Pack(kernels, weights + (long)g * Shape.GroupOutputs * perOutput, phase.KernelTaps, Shape.GroupOutputs, perOutput,
                    Shape.GroupChannels, Shape.Taps, packed);
                packed += PixelProduct.PackedLength(kernels, phase.KernelTaps.Length, Shape.GroupOutputs, Shape.GroupChannels);
            }
        }
    }

    /// <summary>Lays a unit's images out as the kernels read them; scratch as <see cref="ConvolutionPlan.InputScratch"/> says.</summary>
    public float* PrepareInput(float* input, int images, float* scratch)
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

    /// <summary>Computes a unit, from what <see cref="PrepareInput"/> gave, to [pixels, output channels].</summary>
    public void Forward(float* prepared, int images, float* output)
    {
        long group = PixelProduct.PackedLength(kernels, Shape.Taps, Shape.GroupChannels, Shape.GroupOutputs);
        for (int g = 0; g < Shape.Groups; g++)
        {
            PixelProduct.Run(kernels, plan.Forward, images * Shape.OutputArea, prepared + (long)g * Shape.GroupChannels, plan.InnerChannels,
                _forwardWeights!.Pointer + g * group, Shape.GroupOutputs, output + (long)g * Shape.GroupOutputs, accumulate: false);
        }
    }

    /// <summary>A unit's gradient by input, from [pixels, output channels]; scratch as <see cref="ConvolutionPlan.GradientScratch"/> says.</summary>
    public void InputGradient(float* gradient, int images, float* scratch, float* inputGradient, bool accumulate)
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
        long group = PixelProduct.PackedLength(kernels, Shape.Taps, Shape.GroupOutputs, Shape.GroupChannels);
        for (int g = 0; g < Shape.Groups; g++)
        {
            float* packed = _backwardWeights!.Pointer + g * group;
            foreach (var phase in plan.Phases)
            {
                if (phase.KernelTaps.Length == 0 && accumulate)
                    continue;
                PixelProduct.Run(kernels, phase.Layout, phase.Layout.Pixels / plan.UnitImages * images, gradient + (long)g * Shape.GroupOutputs, Shape.GroupOutputs,
                    packed, Shape.GroupChannels, inputGradient + (long)g * Shape.GroupChannels, accumulate);
                packed += PixelProduct.PackedLength(kernels, phase.KernelTaps.Length, Shape.GroupOutputs, Shape.GroupChannels);
            }
        }
    }

    /// <summary>Adds a unit's share of the gradient by weights to the sums.</summary>
    public void WeightGradient(float* prepared, float* gradient, int images, float* sums)
    {
        long group = SumsLength / Shape.Groups;
        for (int g = 0; g < Shape.Groups; g++)
        {
            WeightProduct.Accumulate(kernels, plan.Forward, images * Shape.OutputArea, prepared + (long)g * Shape.GroupChannels, plan.InnerChannels,
                gradient + (long)g * Shape.GroupOutputs, Shape.OutputChannels, Shape.GroupOutputs, sums + g * group);
        }
    }

    /// <summary>Adds up the sums of all chunks, in their order, into the OIHW gradient.</summary>
    public void ReduceWeightGradient(CpuBackend backend, Sums sums, float* weightGradient, bool accumulate)
    {
        sums.AddUp(backend);
        backend.Run(Shape.OutputChannels, (channel, _) => CopyOutputChannel(channel, sums[0], weightGradient, accumulate));
    }

    private void CopyOutputChannel(int outputChannel, float* sums, float* weightGradient, bool accumulate)
    {
        int g = outputChannel / Shape.GroupOutputs;
        int paddedColumns = kernels.PadColumns(Shape.GroupOutputs);
        int rowsPerTap = plan.UsesPatches ? Shape.GroupChannels : kernels.PadRows(Shape.GroupChannels);
        float* from = sums + g * (SumsLength / Shape.Groups) + outputChannel % Shape.GroupOutputs;
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

    public void Dispose()
    {
        if (_forwardWeights is not null)
            pool.Return(_forwardWeights);
        if (_backwardWeights is not null)
            pool.Return(_backwardWeights);
        _forwardWeights = _backwardWeights = null;
    }
}
