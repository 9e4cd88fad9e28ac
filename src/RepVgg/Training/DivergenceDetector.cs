namespace RepVgg.Training;

/// <summary>Detects a diverged training run from its losses.</summary>
/// <remarks>
/// A run has diverged if the loss is not finite, or if the exponential moving average of the loss (decay 0.9) exceeds
/// 20 ln(classes), where ln(classes) is the loss of uniform predictions. A finite limit is needed because batch
/// normalisation can keep the outputs finite at learning rates that are far too high.
/// </remarks>
internal sealed class DivergenceDetector(int classes)
{
    private const double Decay = 0.9, MaximumRatio = 20;

    private readonly double _uniformLoss = Math.Log(classes);
    private double _mean = Math.Log(classes);

    public void Check(double loss, int epoch, int step, float learningRate)
    {
        _mean = Decay * _mean + (1 - Decay) * loss;
        if (!double.IsFinite(loss) || _mean > MaximumRatio * _uniformLoss)
            throw new TrainingDivergedException(epoch, step, loss, learningRate);
    }
}
