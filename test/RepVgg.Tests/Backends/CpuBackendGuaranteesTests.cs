using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Tests.Backends;

/// <summary>Guarantees of the CPU backend only: bitwise equal results for any number of threads, and memory that does not grow.</summary>
public class CpuBackendGuaranteesTests
{
    /// <summary>Patches, strides, Winograd, groups and squeeze-and-excitation in one small network.</summary>
    private static readonly RepVggArchitecture _architecture = new()
    {
        Name = "mixed",
        InputChannels = 3,
        Stages = [new("stage0", 10, 1, 1), new("stage1", 32, 3, 2), new("stage2", 48, 2, 2)],
        Groups = 2,
        SqueezeExcitation = SqueezeExcitation.BeforeRelu,
    };

    private static readonly RepVggArchitecture _plain = new()
    {
        Name = "plain",
        InputChannels = 1,
        Stages = [new("stage0", 24, 1, 1), new("stage1", 32, 2, 2), new("stage2", 64, 2, 2)],
    };

    private static readonly SgdOptions _sgd = new(0.9f, Nesterov: true);

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    public void Bits_do_not_depend_on_the_number_of_threads(int threads)
    {
        foreach (var architecture in (RepVggArchitecture[])[_architecture with { SqueezeExcitation = SqueezeExcitation.None }, _plain])
        {
            foreach (var (options, clipNorm) in ((OptimizerOptions, float?)[])[(_sgd, null), (_sgd, 0.1f), (new AdamWOptions(), 0.1f)])
            {
                var one = Train(architecture, threads: 1, options, clipNorm);
                var many = Train(architecture, threads, options, clipNorm);
                foreach (var (name, tensor) in one)
                    Assert.True(tensor.Values.AsSpan().SequenceEqual(many[name].Values), $"{architecture.Name}: {name} differs on {threads} threads with {options}.");
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_does_not_grow_from_step_to_step(bool adamW)
    {
        using var backend = new CpuBackend(threads: 2);
        using var network = new TrainingNetwork(_plain, 4, backend, seed: 3);
        using var optimizer = backend.CreateOptimizer([new ParameterGroup(network.Parameters, 1e-4f)], adamW ? new AdamWOptions() : _sgd, gradientClipNorm: adamW ? 1 : null);
        Pass();
        long allocated = backend.AllocatedBytes;
        Pass();
        Assert.Equal(allocated, backend.AllocatedBytes);
        long managed = GC.GetAllocatedBytesForCurrentThread();
        Step(backend, network, optimizer, batch: 12, seed: 0);
        managed = GC.GetAllocatedBytesForCurrentThread() - managed;
        // Handles and closures of some forty operations; a single map of this step would be half as large.
        Assert.InRange(managed - 12 * 28 * 28 * sizeof(float), 0, 100_000);

        void Pass()
        {
            for (int step = 0; step < 4; step++)
                Step(backend, network, optimizer, batch: step == 3 ? 5 : 12, seed: step);
            using (backend.BeginStep(training: false))
                network.Forward(backend.CreateInput([20, 1, 28, 28], new float[20 * 28 * 28]));
        }
    }

    [Fact]
    public void Disposing_gives_all_memory_back()
    {
        var backend = new CpuBackend(threads: 2);
        using (var network = new TrainingNetwork(_plain, 4, backend, seed: 3))
        using (var optimizer = NewOptimizer(backend, network))
            Step(backend, network, optimizer, batch: 3, seed: 1);
        Assert.True(backend.AllocatedBytes > 0);
        backend.Dispose();
        Assert.Equal(0, backend.AllocatedBytes);
        Assert.Throws<ObjectDisposedException>(() => backend.BeginStep(training: true));
    }

    /// <summary>A trained block stores the maps of its two convolutions until the backward pass; frozen blocks of one size share theirs.</summary>
    [Fact]
    public void Frozen_stages_keep_no_branch_maps()
    {
        const int Batch = 64;
        long Bytes(int frozenStages)
        {
            using var backend = new CpuBackend(threads: 2);
            using var network = new TrainingNetwork(_plain, 4, backend, seed: 3, frozenStages);
            using var optimizer = NewOptimizer(backend, network);
            Step(backend, network, optimizer, Batch, seed: 1);
            return backend.AllocatedBytes;
        }
        int side = 28;
        var maps = new List<long>();
        foreach (var block in _plain.Blocks)
        {
            side = (side + block.Stride - 1) / block.Stride;
            maps.Add((long)Batch * block.OutputChannels * side * side * sizeof(float));
        }
        long shared = 2 * (maps.Sum() - maps.Distinct().Sum());
        Assert.True(shared > 0);
        long all = Bytes(0), frozen = Bytes(_plain.Stages.Length);
        Assert.True(all - frozen >= shared, $"{frozen} bytes with frozen stages, {all} without; at least {shared} less were expected.");
    }

    private static StateDict Train(RepVggArchitecture architecture, int threads, OptimizerOptions options, float? clipNorm)
    {
        using var backend = new CpuBackend(threads);
        using var network = new TrainingNetwork(architecture, 4, backend, seed: 11);
        using var optimizer = backend.CreateOptimizer([new ParameterGroup(network.Parameters, 1e-4f)], options, clipNorm);
        for (int step = 0; step < 2; step++)
            Step(backend, network, optimizer, batch: 19, seed: step);
        return network.ExportState();
    }

    private static Optimizer NewOptimizer(Backend backend, TrainingNetwork network) =>
        backend.CreateOptimizer([new ParameterGroup(network.Parameters, 1e-4f)], _sgd);

    private static void Step(Backend backend, TrainingNetwork network, Optimizer optimizer, int batch, int seed)
    {
        var random = new Random(seed);
        int[] shape = [batch, network.Architecture.InputChannels, 28, 28];
        var images = new float[batch * shape[1] * 28 * 28];
        for (int i = 0; i < images.Length; i++)
            images[i] = random.NextSingle() * 2 - 1;
        using (backend.BeginStep(training: true))
        {
            var logits = network.Forward(backend.CreateInput(shape, images));
            backend.Backward(backend.SoftmaxCrossEntropy(logits, [.. Enumerable.Range(0, batch).Select(i => i % network.Classes)], 0.1f));
        }
        optimizer.Step(0.05f);
    }
}
