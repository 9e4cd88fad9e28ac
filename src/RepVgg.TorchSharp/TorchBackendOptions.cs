using RepVgg.Architectures;

namespace RepVgg.TorchSharp;

/// <summary>Options of a TorchSharp backend: device, threads, precision and self-test.</summary>
internal sealed record TorchBackendOptions
{
    /// <summary>Index of the CUDA device, 0 for the first; null to compute on the CPU with libtorch.</summary>
    public int? CudaDevice { get; init; }

    /// <summary>Number of threads of libtorch's CPU kernels; 0 uses all cores.</summary>
    public int Threads { get; init; }

    /// <summary>Whether CUDA may round the factors of convolutions and matrix products to TF32 (10 mantissa bits), which is several times faster on Ampere and later GPUs.</summary>
    public bool AllowTf32 { get; init; } = true;

    /// <summary>Whether training uses activations in bfloat16. Weights, batch norm statistics, the loss and evaluation use single precision.</summary>
    public bool Bfloat16 { get; init; }

    /// <summary>Whether feature maps and kernels are stored channels last (NHWC). Null uses channels last on CUDA, where it is the layout that tensor cores read, but not on the CPU, where it is not faster and libtorch 1.13 crashed with large networks.</summary>
    public bool? ChannelsLast { get; init; }

    /// <summary>Whether a training step is first computed on the device and on the CPU backend and compared. A device whose results differ is not used.</summary>
    public bool SelfTest { get; init; } = true;

    /// <summary>The network to be trained. The self-test computes it with its widths, strides, groups, squeeze-and-excitation and heads; null tests a small network.</summary>
    /// <remarks>
    /// A library can compute correct results for some numbers of channels and wrong results for others, so specify the network if it is known.
    /// Frozen stages and batch norms are tested like trained ones.
    /// </remarks>
    public RepVggArchitecture? Network { get; init; }

    /// <summary>Number of classes of the network, at least 1.</summary>
    public int Classes { get; init; } = 10;
}
