using RepVgg.Architectures;

namespace RepVgg.TorchSharp;

/// <summary>Where a TorchSharp backend computes, and how exactly.</summary>
public sealed record TorchBackendOptions
{
    /// <summary>Index of the CUDA device, 0 for the first; null computes on the CPU with libtorch.</summary>
    public int? CudaDevice { get; init; }

    /// <summary>Threads of libtorch's CPU kernels; 0 takes every core.</summary>
    public int Threads { get; init; }

    /// <summary>Whether CUDA may round the factors of convolutions and matrix products to TF32 (10 bits of mantissa); several times faster on GPUs since Ampere.</summary>
    public bool AllowTf32 { get; init; } = true;

    /// <summary>Trains with activations in bfloat16; weights, batch norms' statistics and the loss stay in single precision, and so does evaluation.</summary>
    public bool Bfloat16 { get; init; }

    /// <summary>Whether maps and kernels are laid out channels last in memory; null does so on CUDA, where tensor cores read them so, and not on the CPU, where it is no faster and libtorch 1.13 was seen to crash on large networks.</summary>
    public bool? ChannelsLast { get; init; }

    /// <summary>Whether a network is trained for a step on the device and on the CPU backend first; a device whose numbers differ is refused.</summary>
    public bool SelfTest { get; init; } = true;

    /// <summary>The network that will be trained, which the self-test then computes with its widths, strides, groups, squeeze-and-excitation and heads; null tests a small network.</summary>
    /// <remarks>
    /// A library can compute right numbers for some numbers of channels and wrong ones for others, so give it where it is known.
    /// Stages and batch norms that will be frozen are tested like those that are trained.
    /// </remarks>
    public RepVggArchitecture? Network { get; init; }

    /// <summary>Number of classes of that network, at least 1.</summary>
    public int Classes { get; init; } = 10;
}
