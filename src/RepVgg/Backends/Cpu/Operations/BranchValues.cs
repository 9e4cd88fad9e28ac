using RepVgg.Architectures;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The parameters of a block as tensors of the CPU backend.</summary>
internal sealed unsafe class BranchValues
{
    public const int Taps = 9, Center = 4;

    public BranchValues(CpuBackend backend, BlockBranches branches)
    {
        branches.Validate();
        Kernel3x3 = backend.Own(branches.Kernel3x3);
        Kernel1x1 = backend.Own(branches.Kernel1x1);
        if (Kernel3x3.IsChannelsLast || Kernel1x1.IsChannelsLast)
            throw new ArgumentException("The kernels of a block are parameters or buffers.", nameof(branches));
        Norms = [.. branches.Norms.Select(state => new Norm(backend, state))];
        (Outputs, Inputs) = (branches.OutputChannels, branches.GroupInputs);
    }

    public CpuTensor Kernel3x3 { get; }

    public CpuTensor Kernel1x1 { get; }

    /// <summary>The batch norms in the order 3x3, 1x1, identity (if there is one).</summary>
    public Norm[] Norms { get; }

    public int Outputs { get; }

    /// <summary>Input channels of one group.</summary>
    public int Inputs { get; }

    public bool HasIdentity => Norms.Length > 2;

    public bool KernelsRequireGradient => Kernel3x3.RequiresGradient || Kernel1x1.RequiresGradient;

    /// <summary>The parameters and running statistics of one batch norm.</summary>
    internal sealed class Norm(CpuBackend backend, BatchNormState state)
    {
        private readonly CpuTensor _mean = backend.Own(state.RunningMean), _variance = backend.Own(state.RunningVariance);

        public CpuTensor Weight { get; } = backend.Own(state.Weight);

        public CpuTensor Bias { get; } = backend.Own(state.Bias);

        public double MeanOf(int channel) => _mean.Data[channel];

        /// <summary>1 / sqrt(running variance + epsilon).</summary>
        public double InverseOf(int channel) => 1 / Math.Sqrt((double)_variance.Data[channel] + state.Epsilon);

        /// <summary>Scale of the batch norm: weight / sqrt(running variance + epsilon).</summary>
        public double ScaleOf(int channel) => Weight.Data[channel] * InverseOf(channel);
    }
}
