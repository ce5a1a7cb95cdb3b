import { type Lab, startLab } from './lab.ts'
export async function startRealLab(directory: string): Promise<Lab> {
  return startLab(directory)
}
