namespace RepVgg.Training;

/// <summary>Shape of the learning rate curve after the warm-up.</summary>
public enum ScheduleShape
{
    /// <summary>Half a cosine period from the peak rate to <see cref="LearningRateScheduler.FinalFraction"/> times the peak rate, updated at every step.</summary>
    Cosine,

    /// <summary>The peak rate at every step.</summary>
    Constant,

    /// <summary>The peak rate, multiplied by <see cref="LearningRateScheduler.Gamma"/> every <see cref="LearningRateScheduler.StepSize"/> epochs.</summary>
    Step,

    /// <summary>
    /// From the peak rate to <see cref="LearningRateScheduler.FinalFraction"/> times the peak rate, with the factor (1 - t)^<see cref="LearningRateScheduler.Power"/> at the share t of the steps
    /// after the warm-up; linear by default. Updated at every step.
    /// </summary>
    Polynomial,
}

/// <summary>Computes the learning rate of every step from the peak rate and the step number.</summary>
/// <remarks>Source of the cosine schedule: Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, with a single cycle and one update per step. The polynomial schedule is PyTorch's PolynomialLR.</remarks>
public sealed record LearningRateScheduler
{
    /// <summary>The shape after the warm-up; cosine by default, as in the RepVGG paper.</summary>
    public ScheduleShape Shape { get; init; } = ScheduleShape.Cosine;

    /// <summary>Epochs of linear warm-up, at least 0; fractions are allowed. Step i (from 0) of w warm-up steps uses (i + 1) / w times the peak rate.</summary>
    public double WarmUpEpochs { get; init; }

    /// <summary>
    /// Whether the schedule begins after the warm-up, as by default. False: the schedule is counted from the first step, and the warm-up takes the place of its first part, so that the
    /// rate after the warm-up is below the peak for the shapes cosine and polynomial. timm's name is warmup_prefix; the RepOptimizer authors have false.
    /// </summary>
    public bool WarmUpPrefix { get; init; } = true;

    /// <summary>For the cosine and the polynomial shape: final learning rate as a fraction of the peak rate, 0 .. 1.</summary>
    public double FinalFraction { get; init; }

    /// <summary>For the step shape: epochs between two reductions, counted from the first epoch; at least 1.</summary>
    public int StepSize { get; init; } = 30;

    /// <summary>For the step shape: factor of each reduction, more than 0 and at most 1.</summary>
    public double Gamma { get; init; } = 0.1;

    /// <summary>For the polynomial shape: the exponent, more than 0. 1 is linear.</summary>
    public double Power { get; init; } = 1;

    /// <summary>Computes the learning rate of one step.</summary>
    /// <param name="peak">The peak learning rate.</param>
    /// <param name="step">Steps done since the start of the run, from 0.</param>
    /// <param name="stepsPerEpoch">Steps of one epoch.</param>
    /// <param name="epochs">Epochs of the run.</param>
    /// <returns>The learning rate.</returns>
    public float LearningRate(float peak, long step, int stepsPerEpoch, int epochs)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        ArgumentOutOfRangeException.ThrowIfLessThan(stepsPerEpoch, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(epochs, 1);
        long total = (long)stepsPerEpoch * epochs;
        long warmUp = Math.Min(total, (long)Math.Round(WarmUpEpochs * stepsPerEpoch));
        if (step < warmUp)
            return (float)(peak * (double)(step + 1) / warmUp);
        return Shape switch
        {
            ScheduleShape.Constant => peak,
            ScheduleShape.Step => (float)(peak * Math.Pow(Gamma, step / stepsPerEpoch / StepSize)),
            ScheduleShape.Polynomial => (float)(peak * (FinalFraction + (1 - FinalFraction) * Math.Pow(1 - Progress(), Power))),
            _ => (float)(peak * (FinalFraction + (1 - FinalFraction) * (1 + Math.Cos(Math.PI * Progress())) / 2)),
        };

        double Progress()
        {
            long start = WarmUpPrefix ? warmUp : 0;
            return Math.Min(1.0, (double)(step - start) / Math.Max(1, total - start));
        }
    }

    internal void Validate()
    {
        TrainingOptions.Require(Enum.IsDefined(Shape), nameof(Shape), Shape, "one of Cosine, Constant, Step, Polynomial");
        TrainingOptions.Require(WarmUpEpochs >= 0 && double.IsFinite(WarmUpEpochs), nameof(WarmUpEpochs), WarmUpEpochs, "0 or more");
        TrainingOptions.Require(FinalFraction is >= 0 and <= 1, nameof(FinalFraction), FinalFraction, "between 0 and 1");
        TrainingOptions.Require(StepSize >= 1, nameof(StepSize), StepSize, "1 or more");
        TrainingOptions.Require(Gamma is > 0 and <= 1, nameof(Gamma), Gamma, "more than 0 and at most 1");
        TrainingOptions.Require(Power > 0 && double.IsFinite(Power), nameof(Power), Power, "more than 0");
    }
}
