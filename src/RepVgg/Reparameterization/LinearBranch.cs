using System.Numerics;
using RepVgg.Weights;

namespace RepVgg.Reparameterization;

/// <summary>A linear map of one feature map to another: a convolution with bias, the identity, or a combination of such maps.</summary>
/// <remarks>
/// A kernel is [OutputChannels, InputsPerGroup, Height, Width] with a height and a width of 1 or 3. The input of a 3x3 kernel is padded with <see cref="Top"/> and <see cref="Left"/> zeros
/// at the top and at the left, so that this tap lies on the pixel that a 1x1 kernel reads: the centre, except in networks of TensorFlow. An instance describes what to compute; values are
/// computed when they are read, one output channel at a time, in double precision, and rounded once.
/// Source: RepVGG, section 3.3. Sequences of convolutions: Diverse Branch Block, transform III.
/// </remarks>
internal abstract class LinearBranch
{
    // Height and width of the equivalent kernel.
    private const int Size = 3;

    private LinearBranch(int inputChannels, int outputChannels, int height, int width, int stride, int groups, int top = 1, int left = 1, int dilation = 1)
    {
        if (inputChannels < 1 || outputChannels < 1 || groups < 1 || inputChannels % groups != 0 || outputChannels % groups != 0 || stride < 1)
            throw new ArgumentException($"A convolution cannot have {inputChannels} to {outputChannels} channels, {groups} groups and stride {stride}.");
        if (height is not (1 or Size) || width is not (1 or Size))
            throw new ArgumentException($"A kernel of {height}x{width} cannot become part of a 3x3 kernel; its height and width must be 1 or 3.");
        if ((long)Size * Size * outputChannels * (inputChannels / groups) > Array.MaxLength)
            throw new ArgumentException($"A 3x3 kernel of {inputChannels} to {outputChannels} channels in {groups} groups is too large.");
        if (top is not (0 or 1) || left is not (0 or 1))
            throw new ArgumentException($"A 3x3 kernel cannot have {top} rows and {left} columns of zeros at the top and at the left.");
        (InputChannels, OutputChannels, Height, Width, Stride, Groups, Top, Left, Dilation) = (inputChannels, outputChannels, height, width, stride, groups, top, left, dilation);
    }

    public int InputChannels { get; }

    public int OutputChannels { get; }

    /// <summary>Height of the kernel: 1 or 3.</summary>
    public int Height { get; }

    /// <summary>Width of the kernel: 1 or 3.</summary>
    public int Width { get; }

    public int Stride { get; }

    /// <summary>Rows of zeros above the input of a kernel of height 3, 0 or 1: its row on which kernels of height 1 lie. 1 for kernels of height 1.</summary>
    public int Top { get; }

    /// <summary>Columns of zeros to the left of the input of a kernel of width 3, 0 or 1: its column on which kernels of width 1 lie. 1 for kernels of width 1.</summary>
    public int Left { get; }

    /// <summary>Distance of the taps of a kernel of height or width 3 in pixels; 1 for 1x1 kernels.</summary>
    public int Dilation { get; }

    /// <summary>Groups of the convolution; a diagonal map is a convolution with one group per channel.</summary>
    public int Groups { get; }

    public int InputsPerGroup => InputChannels / Groups;

    /// <summary>Number of branches that this map is the sum of.</summary>
    public virtual int Branches => 1;

    /// <summary>Number of kernel values that are read to compute the kernel. A kernel that is in several branches counts as often.</summary>
    public virtual long ValuesRead => OutputChannels;

    /// <summary>Whether every output channel depends only on the input channel of the same number: such a map can be added to a convolution with any number of groups.</summary>
    public virtual bool IsDiagonal => false;

    /// <summary>The 3x3 kernel, OIHW. For a single 3x3 convolution, this is the kernel that it was created from; otherwise, values are computed on each reading, and reading one that overflows throws <see cref="InvalidDataException"/>.</summary>
    public virtual TensorData Kernel => new TensorData([OutputChannels, InputsPerGroup, Size, Size], ReadKernel).Finite("fused kernel");

    /// <summary>The bias, [O]. For a single convolution with bias, this is the bias that it was created from.</summary>
    /// <exception cref="InvalidDataException">A value overflows. The message contains only the reason.</exception>
    public virtual TensorData Bias
    {
        get
        {
            var bias = new float[OutputChannels];
            for (int o = 0; o < bias.Length; o++)
                bias[o] = (float)BiasOf(o);
            return new TensorData(bias).Finite("fused bias");
        }
    }

    /// <summary>Creates a convolution.</summary>
    /// <param name="kernel">The kernel, [outputChannels, inputChannels / groups, height, width].</param>
    /// <param name="inputChannels">Number of input channels.</param>
    /// <param name="outputChannels">Number of output channels.</param>
    /// <param name="height">Height of the kernel: 1 or 3.</param>
    /// <param name="width">Width of the kernel: 1 or 3.</param>
    /// <param name="stride">Stride in both directions.</param>
    /// <param name="groups">Number of groups.</param>
    /// <param name="bias">The bias, [outputChannels]; null for zeros.</param>
    /// <param name="top">Rows of zeros above the input, if the height of the kernel is 3.</param>
    /// <param name="left">Columns of zeros to the left of the input, if the width of the kernel is 3.</param>
    /// <param name="dilation">Distance of the taps in pixels, which multiplies the zeros around the input; 1x1 kernels have none.</param>
    /// <exception cref="ArgumentException">A size is not supported, or the kernel or the bias does not have that size.</exception>
    public static LinearBranch Convolution(
        TensorData kernel, int inputChannels, int outputChannels, int height, int width, int stride = 1, int groups = 1, TensorData? bias = null, int top = 1, int left = 1, int dilation = 1) =>
        new ConvolutionNode(kernel, bias, inputChannels, outputChannels, height, width, stride, groups, height == Size ? top : 1, width == Size ? left : 1, height == Size || width == Size ? dilation : 1);

    /// <summary>Creates the identity: a 1x1 kernel that is 1 where output channel o reads input channel o, which is number o mod InputsPerGroup of its group.</summary>
    public static LinearBranch Identity(int channels) => new IdentityNode(channels);

    /// <summary>Creates the average over 3x3 pixels of every channel; zeros of the padding are counted.</summary>
    public static LinearBranch Average(int channels, int stride = 1) => new AverageNode(channels, stride);

    /// <summary>Creates DiracNet's kernel D: in each group, output channel k reads input channel k with weight 1; output channels that have no input channel of that number are 0.</summary>
    public static LinearBranch Delta(int inputChannels, int outputChannels, int stride = 1, int groups = 1) => new DeltaNode(inputChannels, outputChannels, stride, groups);

    /// <summary>Returns this map followed by y = scale * x + shift, per channel.</summary>
    /// <exception cref="ArgumentException">The number of scales or shifts is not the number of output channels.</exception>
    public LinearBranch Then(double[] scale, double[] shift)
    {
        if (scale.Length != OutputChannels || shift.Length != OutputChannels)
            throw new ArgumentException($"{scale.Length} scales and {shift.Length} shifts follow {OutputChannels} channels.");
        return new ScaledNode(this, scale, shift);
    }

    /// <summary>Returns this map followed by a batch norm in evaluation mode.</summary>
    /// <exception cref="ArgumentException">The batch norm has another number of channels, or a variance plus epsilon that is not positive.</exception>
    public LinearBranch Then(NormValues norm)
    {
        int invalid = norm.InvalidChannel;
        if (invalid >= 0)
            throw new ArgumentException(FormattableString.Invariant($"The variance of a batch norm is {norm.Variance[invalid]} at channel {invalid}; a variance plus epsilon must be positive."));
        var (scale, shift) = norm.ScaleAndShift();
        return Then(scale, shift);
    }

    /// <summary>Returns this 1x1 convolution followed by a convolution with a kernel of any supported size.</summary>
    /// <remarks>
    /// The result is exact if the input of the second convolution is padded with the first convolution's bias. This equals zero padding only
    /// if the bias is zero, or if the second kernel is 1x1 and needs no padding.
    /// </remarks>
    /// <exception cref="ArgumentException">This map is not a 1x1 convolution of stride 1, or the two convolutions differ in channels or groups.</exception>
    public LinearBranch Then(LinearBranch next)
    {
        if (Height != 1 || Width != 1 || Stride != 1)
            throw new ArgumentException($"Only a 1x1 convolution of stride 1 can be merged with a convolution that follows it, not {this}.");
        if (OutputChannels != next.InputChannels || !GroupsFit(next))
            throw new ArgumentException($"Convolutions that follow each other differ in channels or groups: {this}; {next}.");
        return new SequenceNode(this, next);
    }

    /// <summary>Returns the sum of two maps of the same input. A smaller kernel lies on the tap (<see cref="Top"/>, <see cref="Left"/>) of the larger one.</summary>
    /// <exception cref="ArgumentException">The two maps differ in channels, stride, groups or padding.</exception>
    public LinearBranch Plus(LinearBranch other) => CanAdd(other)
        ? new SumNode(this, other)
        : throw new ArgumentException($"Branches that differ in channels, stride, groups or padding cannot be added: {this}; {other}.");

    /// <summary>Whether two maps have the same channels, stride, groups and padding, so that they can be added. A diagonal map fits any number of groups, and a kernel of height or width 1 any padding of the other.</summary>
    public bool CanAdd(LinearBranch other) =>
        InputChannels == other.InputChannels && OutputChannels == other.OutputChannels && Stride == other.Stride && GroupsFit(other)
        && (IsPixel || other.IsPixel || Dilation == other.Dilation) && (Height == 1 || other.Height == 1 || Top == other.Top) && (Width == 1 || other.Width == 1 || Left == other.Left);

    /// <summary>Computes the 3x3 kernel, OIHW.</summary>
    /// <param name="kernel">
    /// Receives the kernel. It may be the array of one 3x3 convolution of this sum: each output channel is read before it is written, and no
    /// other output channel depends on it. It must not be the array of a convolution that another convolution follows.
    /// </param>
    /// <exception cref="ArgumentException">The length of <paramref name="kernel"/> is not the number of kernel values.</exception>
    public void ReadKernel(Span<float> kernel)
    {
        if (kernel.Length != Size * Size * InputsPerGroup * OutputChannels)
            throw new ArgumentException($"The 3x3 kernel has {Size * Size * InputsPerGroup * OutputChannels} values, not {kernel.Length}.");
        ReadKernel(0, kernel);
    }

    public override string ToString() => IsDiagonal
        ? $"{(Height == 1 ? "identity" : "average")} of {OutputChannels} channels"
        : $"{InputChannels} to {OutputChannels} channels, kernel {Height}x{Width}, stride {Stride}, groups {Groups}{(Top == 1 && Left == 1 ? "" : $", padding {Top} at the top and {Left} at the left")}";

    /// <summary>Adds the kernel of one output channel, multiplied by a factor, to <paramref name="row"/>.</summary>
    /// <param name="output">The output channel.</param>
    /// <param name="factor">The factor.</param>
    /// <param name="row">The kernel values of the output channel, [input channels of a group, height, width].</param>
    /// <param name="taps">The taps of the kernel in <paramref name="row"/>, whose height and width are at least those of this kernel.</param>
    /// <param name="buffer">Buffer for values that are read from a file; it is enlarged as needed.</param>
    protected abstract void AddKernel(int output, double factor, Span<double> row, Taps taps, ref float[] buffer);

    /// <summary>Computes the bias of one output channel.</summary>
    protected abstract double BiasOf(int output);

    private bool IsPixel => Height == 1 && Width == 1;

    private bool GroupsFit(LinearBranch other) => Groups == other.Groups || IsDiagonal || other.IsDiagonal;

    /// <summary>Computes consecutive values of the 3x3 kernel, starting with the value at index <paramref name="start"/> in OIHW order.</summary>
    private void ReadKernel(int start, Span<float> values)
    {
        var row = new double[Size * Size * InputsPerGroup];
        float[] buffer = [];
        for (int done = 0; done < values.Length;)
        {
            var (output, from) = Math.DivRem(start + done, row.Length);
            var part = values.Slice(done, Math.Min(row.Length - from, values.Length - done));
            Array.Clear(row);
            AddKernel(output, 1, row, new Taps(Size, Size, Top, Left), ref buffer);
            Round(row.AsSpan(from, part.Length), part);
            done += part.Length;
        }
    }

    /// <summary>Computes target[i] = (float)source[i], with SIMD: two vectors of doubles are narrowed to one vector of floats.</summary>
    private static void Round(ReadOnlySpan<double> source, Span<float> target)
    {
        int i = 0, half = Vector<double>.Count;
        for (; i <= source.Length - 2 * half; i += 2 * half)
            Vector.Narrow(new Vector<double>(source[i..]), new Vector<double>(source[(i + half)..])).CopyTo(target[i..]);
        for (; i < source.Length; i++)
            target[i] = (float)source[i];
    }

    /// <summary>Computes row[i] += factor * values[i], with SIMD: one vector of floats is widened to two vectors of doubles, the lower and the upper half of its lanes.</summary>
    private static void AddScaled(Span<double> row, double factor, ReadOnlySpan<float> values)
    {
        int i = 0, half = Vector<double>.Count;
        for (; i <= values.Length - 2 * half; i += 2 * half)
        {
            Vector.Widen(new Vector<float>(values[i..]), out var low, out var high);
            (new Vector<double>(row[i..]) + low * factor).CopyTo(row[i..]);
            (new Vector<double>(row[(i + half)..]) + high * factor).CopyTo(row[(i + half)..]);
        }
        for (; i < values.Length; i++)
            row[i] += factor * values[i];
    }

    /// <summary>The taps of a kernel.</summary>
    /// <param name="Height">Height of the kernel.</param>
    /// <param name="Width">Width of the kernel.</param>
    /// <param name="Top">Row on which kernels of height 1 lie.</param>
    /// <param name="Left">Column on which kernels of width 1 lie.</param>
    protected readonly record struct Taps(int Height, int Width, int Top, int Left)
    {
        public static readonly Taps One = new(1, 1, 0, 0);

        public int Count => Height * Width;

        /// <summary>The tap on which a 1x1 kernel lies.</summary>
        public int OfPixel => Top * Width + Left;
    }

    private sealed class ConvolutionNode : LinearBranch
    {
        private readonly TensorData _kernel;
        private readonly TensorData? _bias;

        public ConvolutionNode(TensorData kernel, TensorData? bias, int inputChannels, int outputChannels, int height, int width, int stride, int groups, int top, int left, int dilation)
            : base(inputChannels, outputChannels, height, width, stride, groups, top, left, dilation)
        {
            if (kernel.Length != outputChannels * InputsPerGroup * height * width)
                throw new ArgumentException($"A convolution of {this} has {outputChannels * InputsPerGroup * height * width} kernel values, not {kernel.Length}.");
            if (bias is not null && bias.Length != outputChannels)
                throw new ArgumentException($"A convolution of {this} has {outputChannels} bias values, not {bias.Length}.");
            (_kernel, _bias) = (kernel, bias);
        }

        public override TensorData Kernel => Height == Size && Width == Size ? _kernel : base.Kernel;

        public override TensorData Bias => _bias ?? base.Bias;

        public override long ValuesRead => _kernel.Length;

        protected override void AddKernel(int output, double factor, Span<double> row, Taps taps, ref float[] buffer)
        {
            int length = InputsPerGroup * Height * Width;
            var values = _kernel.Read(output * length, length, ref buffer);
            if (taps.Height == Height && taps.Width == Width)
            {
                AddScaled(row, factor, values);
                return;
            }
            int first = (taps.Height == Height ? 0 : taps.Top * taps.Width) + (taps.Width == Width ? 0 : taps.Left);
            for (int k = 0; k < Height * Width; k++)
            {
                int tap = first + k / Width * taps.Width + k % Width;
                for (int i = k; i < values.Length; i += Height * Width, tap += taps.Count)
                    row[tap] += factor * values[i];
            }
        }

        protected override double BiasOf(int output) => _bias is null ? 0 : _bias.Values[output];
    }

    private sealed class IdentityNode(int channels) : LinearBranch(channels, channels, 1, 1, 1, channels)
    {
        public override bool IsDiagonal => true;

        protected override void AddKernel(int output, double factor, Span<double> row, Taps taps, ref float[] buffer)
        {
            int inputs = row.Length / taps.Count;
            row[output % inputs * taps.Count + taps.OfPixel] += factor;
        }

        protected override double BiasOf(int output) => 0;
    }

    private sealed class AverageNode(int channels, int stride) : LinearBranch(channels, channels, Size, Size, stride, channels)
    {
        public override bool IsDiagonal => true;

        protected override void AddKernel(int output, double factor, Span<double> row, Taps taps, ref float[] buffer)
        {
            int inputs = row.Length / taps.Count;
            foreach (ref double value in row.Slice(output % inputs * taps.Count, taps.Count))
                value += factor / (Size * Size);
        }

        protected override double BiasOf(int output) => 0;
    }

    private sealed class DeltaNode(int inputChannels, int outputChannels, int stride, int groups) : LinearBranch(inputChannels, outputChannels, 1, 1, stride, groups)
    {
        protected override void AddKernel(int output, double factor, Span<double> row, Taps taps, ref float[] buffer)
        {
            int input = output % (OutputChannels / Groups);
            if (input < InputsPerGroup)
                row[input * taps.Count + taps.OfPixel] += factor;
        }

        protected override double BiasOf(int output) => 0;
    }

    private sealed class ScaledNode(LinearBranch branch, double[] scale, double[] shift)
        : LinearBranch(branch.InputChannels, branch.OutputChannels, branch.Height, branch.Width, branch.Stride, branch.Groups, branch.Top, branch.Left, branch.Dilation)
    {
        public override bool IsDiagonal => branch.IsDiagonal;

        public override int Branches => branch.Branches;

        public override long ValuesRead => branch.ValuesRead;

        protected override void AddKernel(int output, double factor, Span<double> row, Taps taps, ref float[] buffer) =>
            branch.AddKernel(output, factor * scale[output], row, taps, ref buffer);

        protected override double BiasOf(int output) => branch.BiasOf(output) * scale[output] + shift[output];
    }

    private sealed class SumNode(LinearBranch first, LinearBranch second)
        : LinearBranch(
            first.InputChannels, first.OutputChannels, Math.Max(first.Height, second.Height), Math.Max(first.Width, second.Width),
            first.Stride, first.IsDiagonal ? second.Groups : first.Groups, first.Height == Size ? first.Top : second.Top, first.Width == Size ? first.Left : second.Left, first.IsPixel ? second.Dilation : first.Dilation)
    {
        public override bool IsDiagonal => first.IsDiagonal && second.IsDiagonal;

        public override int Branches { get; } = first.Branches + second.Branches;

        public override long ValuesRead { get; } = first.ValuesRead + second.ValuesRead;

        protected override void AddKernel(int output, double factor, Span<double> row, Taps taps, ref float[] buffer)
        {
            first.AddKernel(output, factor, row, taps, ref buffer);
            second.AddKernel(output, factor, row, taps, ref buffer);
        }

        protected override double BiasOf(int output) => first.BiasOf(output) + second.BiasOf(output);
    }

    /// <summary>A 1x1 convolution with kernel A followed by a convolution with kernel B: K[o, i, y, x] = sum over m of B[o, m, y, x] * A[m, i].</summary>
    private sealed class SequenceNode(LinearBranch first, LinearBranch second)
        : LinearBranch(
            first.InputChannels, second.OutputChannels, second.Height, second.Width,
            second.Stride, first.IsDiagonal ? second.Groups : first.Groups, second.Top, second.Left, second.Dilation)
    {
        public override bool IsDiagonal => first.IsDiagonal && second.IsDiagonal;

        public override int Branches { get; } = first.Branches + second.Branches;

        public override long ValuesRead { get; } = first.ValuesRead + second.ValuesRead;

        private int Between => first.OutputChannels / Groups;

        protected override void AddKernel(int output, double factor, Span<double> row, Taps taps, ref float[] buffer)
        {
            int count = taps.Count;
            var outer = new double[Between * count];
            second.AddKernel(output, factor, outer, taps, ref buffer);
            var inner = new double[row.Length / count];
            for (int m = 0; m < Between; m++)
            {
                Array.Clear(inner);
                first.AddKernel(FirstBetween(output) + m, 1, inner, Taps.One, ref buffer);
                for (int i = 0; i < inner.Length; i++)
                {
                    for (int k = 0; k < count; k++)
                        row[i * count + k] += outer[m * count + k] * inner[i];
                }
            }
        }

        protected override double BiasOf(int output)
        {
            int taps = Height * Width;
            var outer = new double[Between * taps];
            float[] buffer = [];
            second.AddKernel(output, 1, outer, new Taps(Height, Width, Height == 1 ? 0 : Top, Width == 1 ? 0 : Left), ref buffer);
            double bias = second.BiasOf(output);
            for (int m = 0; m < Between; m++)
            {
                double constant = first.BiasOf(FirstBetween(output) + m);
                for (int k = 0; k < taps; k++)
                    bias += outer[m * taps + k] * constant;
            }
            return bias;
        }

        /// <summary>Gets the index of the first intermediate channel (output of the first convolution) in the group of an output channel.</summary>
        private int FirstBetween(int output) => output / (OutputChannels / Groups) * Between;
    }
}

/// <summary>The affine parameters and running statistics of a batch norm, one value per channel.</summary>
internal sealed record NormValues(float[] Weight, float[] Bias, float[] Mean, float[] Variance, double Epsilon)
{
    /// <summary>Index of the first channel whose variance plus epsilon is not a positive finite number; -1 if there is none.</summary>
    public int InvalidChannel => Array.FindIndex(Variance, variance => !(variance + Epsilon > 0 && double.IsFinite(variance + Epsilon)));

    /// <summary>Computes scale and shift of the batch norm in evaluation mode, y = scale * x + shift: scale = weight / sqrt(variance + epsilon), shift = bias - mean * scale.</summary>
    /// <exception cref="ArgumentException">The parameters differ in length.</exception>
    public (double[] Scale, double[] Shift) ScaleAndShift()
    {
        if (Bias.Length != Weight.Length || Mean.Length != Weight.Length || Variance.Length != Weight.Length)
            throw new ArgumentException($"The parameters of a batch norm differ in length: {Weight.Length}, {Bias.Length}, {Mean.Length} and {Variance.Length}.");
        double[] scale = new double[Weight.Length], shift = new double[Weight.Length];
        for (int c = 0; c < scale.Length; c++)
        {
            scale[c] = Weight[c] / Math.Sqrt(Variance[c] + Epsilon);
            shift[c] = Bias[c] - Mean[c] * scale[c];
        }
        return (scale, shift);
    }
}
