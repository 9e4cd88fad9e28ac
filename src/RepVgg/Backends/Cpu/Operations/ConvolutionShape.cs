using RepVgg.Architectures;
using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The shape of a convolution, without the number of images. It determines the plan.</summary>
internal readonly record struct ConvolutionShape(int Channels, int Height, int Width, int OutputChannels, int KernelHeight, int KernelWidth, int Stride, int PaddingHeight, int PaddingWidth, int Groups)
{
    public int OutputHeight => ConvolutionSize.Output(Height, KernelHeight, Stride, PaddingHeight);

    public int OutputWidth => ConvolutionSize.Output(Width, KernelWidth, Stride, PaddingWidth);

    public int OutputArea => OutputHeight * OutputWidth;

    public int GroupChannels => Channels / Groups;

    public int GroupOutputs => OutputChannels / Groups;

    public int Taps => KernelHeight * KernelWidth;

    public long WeightCount => (long)OutputChannels * GroupChannels * Taps;
}
