namespace RepVgg.Backends.Cpu.Operations;

/// <summary>What a convolution's tables depend on.</summary>
internal readonly record struct ConvolutionShape(int Channels, int Height, int Width, int OutputChannels, int KernelHeight, int KernelWidth, int Stride, int Padding, int Groups)
{
    public int OutputHeight => (Height + 2 * Padding - KernelHeight) / Stride + 1;

    public int OutputWidth => (Width + 2 * Padding - KernelWidth) / Stride + 1;

    public int OutputArea => OutputHeight * OutputWidth;

    public int GroupChannels => Channels / Groups;

    public int GroupOutputs => OutputChannels / Groups;

    public int Taps => KernelHeight * KernelWidth;

    public long WeightCount => (long)OutputChannels * GroupChannels * Taps;
}
