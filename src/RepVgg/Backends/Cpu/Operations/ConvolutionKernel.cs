using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Backends.Cpu.Memory;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>One convolution of one step: packed weights and per-image passes, without batch or threads.</summary>
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

    /// <summary>Lays one image out as the kernels read it; scratch as <see cref="ConvolutionPlan.InputScratch"/> says.</summary>
    public float* PrepareInput(float* image, float* scratch)
    {
        if (plan.UsesPatches)
        {
            Planes.Patches(image, Shape.Height, Shape.Width, Shape.Channels, Shape.KernelHeight, Shape.KernelWidth, Shape.Stride, Shape.Padding,
                Shape.OutputHeight, Shape.OutputWidth, scratch);
            return scratch;
        }
        if (!plan.UsesFrame)
            return image;
        Planes.Pad(image, Shape.Height, Shape.Width, Shape.Channels, scratch, Shape.Padding, Shape.Padding, plan.PaddedHeight, plan.PaddedWidth);
        return scratch;
    }

    /// <summary>One image, from what <see cref="PrepareInput"/> gave, to [pixels, output channels].</summary>
    public void Forward(float* prepared, float* output)
    {
        long group = PixelProduct.PackedLength(kernels, Shape.Taps, Shape.GroupChannels, Shape.GroupOutputs);
        for (int g = 0; g < Shape.Groups; g++)
        {
            PixelProduct.Run(kernels, plan.Forward, prepared + (long)g * Shape.GroupChannels, plan.InnerChannels,
                _forwardWeights!.Pointer + g * group, Shape.GroupOutputs, output + (long)g * Shape.GroupOutputs, accumulate: false);
        }
    }

    /// <summary>One image's gradient by input, from [pixels, output channels]; scratch as <see cref="ConvolutionPlan.GradientScratch"/> says.</summary>
    public void InputGradient(float* gradient, float* scratch, float* inputGradient, bool accumulate)
    {
        if (plan.NeedsGradientFrame)
        {
            Planes.Pad(gradient, Shape.OutputHeight, Shape.OutputWidth, Shape.OutputChannels, scratch, plan.MarginTop, plan.MarginLeft, plan.FrameHeight, plan.FrameWidth);
            gradient = scratch;
        }
        long group = PixelProduct.PackedLength(kernels, Shape.Taps, Shape.GroupOutputs, Shape.GroupChannels);
        for (int g = 0; g < Shape.Groups; g++)
        {
            float* packed = _backwardWeights!.Pointer + g * group;
            foreach (var phase in plan.Phases)
            {
                PixelProduct.Run(kernels, phase.Layout, gradient + (long)g * Shape.GroupOutputs, Shape.GroupOutputs,
                    packed, Shape.GroupChannels, inputGradient + (long)g * Shape.GroupChannels, accumulate);
                packed += PixelProduct.PackedLength(kernels, phase.KernelTaps.Length, Shape.GroupOutputs, Shape.GroupChannels);
            }
        }
    }

    /// <summary>Adds one image's share of the gradient by weights to the sums.</summary>
    public void WeightGradient(float* prepared, float* gradient, float* sums)
    {
        long group = SumsLength / Shape.Groups;
        for (int g = 0; g < Shape.Groups; g++)
        {
            WeightProduct.Accumulate(kernels, plan.Forward, prepared + (long)g * Shape.GroupChannels, plan.InnerChannels,
                gradient + (long)g * Shape.GroupOutputs, Shape.OutputChannels, Shape.GroupOutputs, sums + g * group);
        }
    }

    /// <summary>Adds up the sums of all chunks, in their order, into the OIHW gradient of one output channel.</summary>
    public void ReduceOutputChannel(int outputChannel, float* sums, int chunks, float* weightGradient, bool accumulate)
    {
        int g = outputChannel / Shape.GroupOutputs;
        int j = outputChannel % Shape.GroupOutputs;
        int paddedColumns = kernels.PadColumns(Shape.GroupOutputs);
        int paddedRows = kernels.PadRows(plan.InnerChannels);
        long length = SumsLength;
        float* from = sums + g * (length / Shape.Groups) + j;
        float* to = weightGradient + (long)outputChannel * Shape.GroupChannels * Shape.Taps;
        for (int t = 0; t < Shape.Taps; t++)
        {
            for (int c = 0; c < Shape.GroupChannels; c++)
            {
                long row = plan.UsesPatches ? t * Shape.GroupChannels + c : (long)t * paddedRows + c;
                float* value = from + row * paddedColumns;
                float sum = 0;
                for (int chunk = 0; chunk < chunks; chunk++)
                    sum += value[chunk * length];
                float* target = to + (long)c * Shape.Taps + t;
                *target = accumulate ? *target + sum : sum;
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
