using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Tests.Training;

/// <summary>Networks that learn from a teacher. The teacher was trained with another normalisation.</summary>
public class DistillationTests
{
    private static readonly Normalization _teacherNormalization = new([90], [1f / 50]);

    private static readonly InMemorySamples _train = SyntheticTask.Samples(240, 1), _validation = SyntheticTask.Samples(80, 2);

    private static readonly Lazy<StateDict> _teacherWeights = new(() =>
    {
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 7);
        return TrainingLoop.Run(backend, network, SyntheticTask.Samples(400, 5), _validation, _teacherNormalization, SyntheticTask.Options with { Epochs = 8 }).Weights;
    });

    /// <summary>A teacher for images of another size.</summary>
    private static DeployNetwork Teacher => DeployNetwork.FromTrainingForm(SyntheticTask.Architecture, _teacherWeights.Value, 32, 48, _teacherNormalization);

    /// <summary>Images of the task whose labels say nothing about them.</summary>
    private static InMemorySamples WithRandomLabels(InMemorySamples samples)
    {
        var random = new Random(3);
        return new InMemorySamples(
            [.. Enumerable.Range(0, samples.Count).SelectMany(i => samples.ReadBytes(i, []).ToArray())], [.. Enumerable.Range(0, samples.Count).Select(_ => random.Next(SyntheticTask.Classes))],
            1, SyntheticTask.Size, SyntheticTask.Size, SyntheticTask.Classes);
    }

    [Fact]
    public void A_network_learns_the_task_from_the_teacher_alone()
    {
        var train = WithRandomLabels(_train);
        var options = SyntheticTask.Options with { Epochs = 8, BatchSize = 16 };
        Assert.InRange(Best(SyntheticTask.Train(train, _validation, options)), 0, 0.6);
        Assert.InRange(Best(SyntheticTask.Train(train, _validation, options with { Distillation = new Distillation(Teacher, 2, 1) })), 0.9, 1);

        static double Best(TrainingResult result) => result.History.Max(epoch => epoch.ValidationAccuracy!.Value);
    }

    /// <summary>The gradient with respect to the bias of the classifier is the mean of the gradients with respect to the logits.</summary>
    [Theory]
    [InlineData(4f, 0.5f, false)]
    [InlineData(1.5f, 1f, false)]
    [InlineData(4f, 0.3f, true)]
    public void The_gradient_is_that_of_the_formula(float temperature, float weight, bool mixed)
    {
        const float Rate = 2;
        var options = new TrainingOptions
        {
            Epochs = 1, BatchSize = 60, LearningRate = Rate, WeightDecay = 0, Optimizer = new SgdOptions(Momentum: 0), LearningRateScheduler = new() { Shape = ScheduleShape.Constant },
            LabelSmoothing = 0.1f, ClassWeights = mixed ? [1, 2, 0.5f, 3] : null, Augmentation = mixed ? new Augmentation { Mixing = new Mixing { MixupAlpha = 1 } } : Augmentation.None,
            Distillation = new Distillation(Teacher, temperature, weight),
        };
        var train = SyntheticTask.Samples(60, 8);
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        var augmenter = new ImageAugmenter(options.Augmentation, SyntheticTask.Normalization, 1, SyntheticTask.Size, SyntheticTask.Size);
        using var loader = BatchLoader.Training(train, augmenter, 60, options.Seed, epoch: 1, targets: TrainingTargets.Of(options, 1, train));
        var batch = loader.Next()!;
        float[] z = new float[60 * SyntheticTask.Classes], v = new float[z.Length];
        using (backend.BeginStep(training: true))
            backend.CopyOut(network.Forward(backend.CreateInput([60, 1, SyntheticTask.Size, SyntheticTask.Size], batch.Images)), z);
        // The teacher in its training form, on raw pixels.
        using (var engine = new TrainingFormEngine(SyntheticTask.Architecture, _teacherWeights.Value, SyntheticTask.Size, SyntheticTask.Size, _teacherNormalization, 1))
            engine.Run([.. batch.Images.ToArray().Select(value => value * 64 + 128)], 60, v);
        double[] expected = new double[SyntheticTask.Classes];
        double total = 0;
        for (int n = 0; n < 60; n++)
        {
            double[] targets = [.. Enumerable.Range(0, SyntheticTask.Classes).Select(c => mixed ? batch.Targets[n * SyntheticTask.Classes + c] : (c == batch.Labels[n] ? 0.9 : 0) + 0.025)];
            double sum = targets.Sum();
            double[] own = Softmax(z, n, 1), soft = Softmax(z, n, temperature), teacher = Softmax(v, n, temperature);
            for (int c = 0; c < expected.Length; c++)
                expected[c] += (1 - weight) * (sum * own[c] - targets[c]) + weight * temperature * sum * (soft[c] - teacher[c]);
            total += sum;
        }

        using var fresh = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        var result = TrainingLoop.Run(backend, fresh, train, null, SyntheticTask.Normalization, options);
        float[] initial = Initialization.Draw(SyntheticTask.Architecture, SyntheticTask.Classes, 3)["linear.bias"].Values;
        Compare.Close([.. expected.Select(value => (float)(-Rate * value / total))], [.. result.Weights["linear.bias"].Values.Zip(initial, (after, before) => after - before)], 1e-4);
        // The loss of the targets alone is reported.
        var plain = TrainingLoop.Run(backend, new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3), train, null, SyntheticTask.Normalization, options with { Distillation = null });
        Assert.Equal(plain.History[0].TrainingLoss, result.History[0].TrainingLoss);
        Assert.NotEqual(plain.Weights["linear.bias"].Values, result.Weights["linear.bias"].Values);
    }

    private static double[] Softmax(float[] logits, int row, double temperature)
    {
        double[] powers = [.. logits.Skip(row * SyntheticTask.Classes).Take(SyntheticTask.Classes).Select(logit => Math.Exp(logit / temperature))];
        return [.. powers.Select(power => power / powers.Sum())];
    }

    [Fact]
    public void The_seed_decides_everything_for_any_number_of_threads_and_after_a_cut()
    {
        using var folder = new TemporaryFolder();
        var plain = SyntheticTask.Options with
        {
            Epochs = 3, GradientAccumulationSteps = 2, Distillation = new Distillation(Teacher, 3, 0.7f, Threads: 1), ClassWeights = [1, 2, 1, 0.5f],
            Augmentation = new Augmentation { CropPadding = 1, ErasingProbability = 0.2, Mixing = new Mixing { MixupAlpha = 0.4, CutMixAlpha = 1, UnmixedEpochs = 1 } },
        };
        var whole = SyntheticTask.Train(_train, _validation, plain, threads: 1);
        var threaded = plain with { Distillation = new Distillation(Teacher, 3, 0.7f, Threads: 3) };
        TrainingLoopTests.SameBits(whole.Weights, SyntheticTask.Train(_train, _validation, threaded, threads: 2).Weights);
        Assert.NotEqual(whole.Weights["linear.bias"].Values, SyntheticTask.Train(_train, _validation, plain with { Distillation = null }).Weights["linear.bias"].Values);

        var options = plain with { CheckpointPath = folder.File("run.checkpoint") };
        using var source = new CancellationTokenSource();
        SyntheticTask.Train(_train, _validation, options, progress =>
        {
            if (progress is { Epoch: 2, Step: 3 })
                source.Cancel();
        }, source.Token);
        var changed = DeployNetwork.FromTrainingForm(SyntheticTask.Architecture, Initialization.Draw(SyntheticTask.Architecture, SyntheticTask.Classes, 1), 32, 48, _teacherNormalization);
        foreach (var (name, other) in new (string, Distillation?)[]
        {
            ("Distillation.Temperature was 3 and is 4", new Distillation(Teacher, 4, 0.7f)),
            ("Distillation.Weight was 0.7 and is 0.5", new Distillation(Teacher, 3, 0.5f)),
            ("Distillation.TeacherHash was", new Distillation(changed, 3, 0.7f)),
            ("Distillation.TeacherHash was", new Distillation(Distillation.SelectClasses(Teacher, ["0", "1", "2", "3"], ["1", "0", "2", "3"]), 3, 0.7f)),
            ("Distillation.TeacherNormalization was", new Distillation(Teacher with { Normalization = SyntheticTask.Normalization }, 3, 0.7f)),
            ("Distillation was {", null),
        })
            Assert.Contains(name, Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(_train, _validation, options with { Distillation = other })).Message, StringComparison.Ordinal);
        // The number of threads and the size of the teacher's images have no influence.
        var resumed = SyntheticTask.Train(_train, _validation, options with { Distillation = new Distillation(Teacher with { ImageHeight = 12, ImageWidth = 12 }, 3, 0.7f, Threads: 2) }, networkSeed: 99);
        Assert.Equal(1, resumed.ResumedAfterEpoch);
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
    }

    [Fact]
    public void Classes_are_selected_by_their_names()
    {
        var selected = Distillation.SelectClasses(Teacher, ["a", "b", "c", "d"], ["d", "b"]);
        float[] pixels = new float[2 * 32 * 48], all = new float[8], some = new float[4];
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = i * 7 % 256;
        using (InferenceEngine whole = new(Teacher, 1), part = new(selected, 1))
        {
            whole.Run(pixels, 2, all);
            part.Run(pixels, 2, some);
        }
        Assert.Equal([all[3], all[1], all[7], all[5]], some);

        Refused("The teacher does not know the class 'e'. It knows 'a', 'b', 'c', 'd'.", ["a", "b", "c", "d"], ["a", "e"]);
        Refused("The teacher does not know the classes 'x', 'y'. It knows", ["a", "b", "c", "d"], ["x", "y"]);
        Refused("Two classes of the teacher are named 'b'", ["a", "b", "b", "d"], ["a", "b"]);
        Refused("3 names of classes were given for the 4 classes of the teacher", ["a", "b", "c"], ["a", "b"]);
        static void Refused(string expected, string[] names, string[] wanted) =>
            Assert.StartsWith(expected, Assert.Throws<ArgumentException>(() => Distillation.SelectClasses(Teacher, names, wanted)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Teachers_that_do_not_fit_are_refused()
    {
        Refused("Temperature is 0;", new Distillation(Teacher, 0, 0.5f));
        Refused("Temperature is NaN;", new Distillation(Teacher, float.NaN, 0.5f));
        Refused("Temperature is Infinity;", new Distillation(Teacher, float.PositiveInfinity, 0.5f));
        // Their squares, with which the loss is multiplied, would be 0 and infinite.
        Refused("Temperature is 1E-30; it must be from 0.01 to 1000.", new Distillation(Teacher, 1e-30f, 0.5f));
        Refused("Temperature is 1E+30; it must be from 0.01 to 1000.", new Distillation(Teacher, 1e30f, 0.5f));
        Refused("Weight is 0;", new Distillation(Teacher, 4, 0));
        Refused("Weight is 1.5;", new Distillation(Teacher, 4, 1.5f));
        Refused("The teacher has 2 classes, but the network has 4.", new Distillation(Distillation.SelectClasses(Teacher, ["a", "b", "c", "d"], ["d", "b"]), 4, 0.5f));
        Refused("The teacher has 0 classes, but the network has 4.", new Distillation(Teacher.TakeFeatures(), 4, 0.5f));
        Refused("The teacher reads images of 3 channel(s), but the training images have 1.", new Distillation(RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (4, 1, 2)), 12, 12, 4), 4, 0.5f));
        static void Refused(string expected, Distillation distillation) =>
            Assert.StartsWith(expected, Assert.Throws<ArgumentException>(() => SyntheticTask.Train(_train, null, SyntheticTask.Options with { Distillation = distillation })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_teacher_that_computes_no_numbers_is_an_error()
    {
        var classifier = Teacher.Classifier;
        var broken = Teacher with { Classifier = classifier with { Bias = [float.NaN, .. classifier.Bias.Skip(1)] } };
        var error = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(_train, null, SyntheticTask.Options with { Distillation = new Distillation(broken, 4, 0.5f) }));
        Assert.StartsWith("The teacher computes a logit of NaN for a training image", error.Message, StringComparison.Ordinal);
    }
}
